"""Publishing a draft, and who may enter what is published."""

from typing import Any
from uuid import UUID

import msgspec

from app.errors import Conflict, Invalid, NotFound
from app.work import Work
from app.workflows.domain.draft import Draft
from app.workflows.domain.lint import Problem, lint
from app.workflows.domain.references import references
from app.workflows.domain.version import content_hash, freeze, load_version
from app.workflows.use_cases.edit import header_of, keep, opened
from app.workflows.use_cases.typed import known

MOST_VERSIONS = 1_000_000  # far beyond use, far within the column


class NotPublishable(Invalid):
    """The draft has problems; `problems` are those of lint."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__({_key(number, one): one.message for number, one in enumerate(problems)})
        self.problems = problems


def _key(number: int, problem: Problem) -> str:
    place = f"{problem.step_key or problem.where}.{problem.field}".rstrip(".")
    return f"{place}#{number}" if number else place


async def publish(work: Work, workflow_id: UUID, rev: int) -> int:
    """Freezes the draft of revision `rev` as the next version, which new people enter from now on; returns
    its number. Raises `Conflict` (stale, or nothing changed) and `NotPublishable`."""
    header, draft = await opened(work, workflow_id, rev)
    given = await known(work)
    if problems := lint(draft, given.fields, given.names):
        raise NotPublishable(problems)
    number = await work.workflows.last_version(workflow_id) + 1
    version = freeze(draft, workflow_id, number)
    digest = content_hash(version)
    live = header.live_version and await work.workflows.version(workflow_id, header.live_version)
    if live and live.content_hash == digest and header.status == "active":
        raise Conflict(
            f"Nothing has changed since version {live.number} was published.",
            current={"rev": header.rev, "live_version": live.number},
        )
    if live and live.content_hash == digest:
        number = live.number  # archived or paused: the same version goes live again
    else:
        used = references(version, given.fields)
        await work.workflows.add_version(version, digest, work.actor.name, used, work.now)
    await work.workflows.change(workflow_id, live_version=number, status="active")
    changes = {"live_version": (header.live_version, number), "status": (header.status, "active")}
    work.audit("workflow.published", "workflow", workflow_id, changes)
    await work.commit()
    return number


async def set_status(work: Work, workflow_id: UUID, to: str) -> None:
    """Lets nobody enter (paused, archived), or lets people enter again (active). Who is inside goes on.
    Raises `Conflict` where that makes no sense."""
    header = await header_of(work, workflow_id, lock=True)
    if header.status == to:
        return
    allowed = {
        "paused": ("active",),
        "active": ("paused", "archived"),
        "archived": ("draft", "active", "paused"),
    }
    if header.status not in allowed[to] or (to == "active" and header.live_version is None):
        raise Conflict(
            f"The workflow is {header.status}; it cannot become {to} from there.",
            current={"status": header.status},
        )
    await work.workflows.change(workflow_id, status=to)
    verb = {"paused": "paused", "active": "resumed", "archived": "archived"}[to]
    work.audit(f"workflow.{verb}", "workflow", workflow_id, {"status": (header.status, to)})
    await work.commit()


async def version_of(work: Work, workflow_id: UUID, number: int) -> Any:
    """One published version. Raises `NotFound`."""
    await header_of(work, workflow_id)
    found = await work.workflows.version(workflow_id, number) if number <= MOST_VERSIONS else None
    if found is None:
        raise NotFound("version")
    return found


async def restore(work: Work, workflow_id: UUID, number: int, rev: int) -> None:
    """Copies a published version into the draft, as one more edit that can be undone."""
    header, draft = await opened(work, workflow_id, rev)
    found = await version_of(work, workflow_id, number)
    version = load_version(found.document)
    copy = Draft(version.triggers, version.entry, version.steps, version.settings, draft.next_key)
    await keep(work, header, msgspec.structs.replace(copy), f"Restored version {number}")
