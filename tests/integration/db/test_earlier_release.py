"""What the release before migration 0013 wrote stays readable: published versions, drafts, filters of
segments, and links with filters and cursors. `tests/support/earlier_release.json` comes from its demo."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.engine.core.draft import Draft, walk
from app.engine.core.steps import WaitFor
from app.engine.core.version import content_hash, load_version
from app.filters.ast import Filter, predicates
from app.workflows.use_cases.read import has_content
from db.models import WorkflowVersion
from tests.support.world import World

EARLIER: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parents[2] / "support" / "earlier_release.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("place", range(len(EARLIER["versions"])))
def test_a_published_version_has_the_content_of_its_hash(place: int) -> None:
    stored = WorkflowVersion(**EARLIER["versions"][place])
    digest = content_hash(load_version(stored.document))
    assert has_content(stored, digest)
    assert not has_content(stored, "0" * 64)


def test_an_event_wait_reads_the_former_name_of_an_event() -> None:
    events = {
        step.config.event
        for stored in EARLIER["versions"]
        for _, _, step in walk(load_version(stored["document"]).steps)
        if isinstance(step.config, WaitFor)
    }
    assert events == {"schedule.fired"}


def test_a_draft_is_read() -> None:
    draft = msgspec.convert(EARLIER["draft"], Draft)
    assert [step.config.event for _, _, step in walk(draft.steps) if isinstance(step.config, WaitFor)] == [
        "schedule.fired"
    ]


def test_filters_of_segments_are_read() -> None:
    filters: dict[str, Filter] = {
        name: msgspec.convert(stored, Filter) for name, stored in EARLIER["segments"].items()
    }
    [history] = predicates(filters["Old history"])
    assert history.value == ["schedule.fired", "3", "30 days"]


async def test_links_with_filters_and_cursors_answer(world: World) -> None:
    owner = await world.person()
    async with world.script(owner) as client:
        for path in EARLIER["pages"]:
            answer = await client.get(path)
            assert answer.status_code in (200, 404), (path, answer.text)
            assert answer.status_code == 200 or path.startswith("/mailbox"), path
        audit = (await client.get("/audit?actor_kind=person")).json()
    assert audit["actor_kind"] == "member"
