"""What a draft may refer to besides fields: names by id, as they are today."""

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from app.engine.core.draft import Draft, walk
from app.engine.core.steps import Webhook


class Names(msgspec.Struct, frozen=True):
    """Ids as text to names: the account's tags, segments, workflows that are not archived, and members.
    `steps` are the keys that a step may go to, `saved` the names under which webhooks keep their answers;
    None of either says that it is not known, and then it is not asked."""

    tags: Mapping[str, str] = {}
    segments: Mapping[str, str] = {}
    workflows: Mapping[str, str] = {}
    users: Mapping[str, str] = {}
    steps: frozenset[str] | None = None
    saved: frozenset[str] | None = None


def within(names: Names, draft: Draft) -> Names:
    """With the steps of a draft and the answers that they keep."""
    steps = [step for _, _, step in walk(draft.steps)]
    saved = {step.config.save_as for step in steps if isinstance(step.config, Webhook)}
    return replace(names, steps=frozenset(step.key for step in steps), saved=frozenset(saved - {""}))
