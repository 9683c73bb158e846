"""The index that finds the workflows that an event may start."""

from collections.abc import Iterable
from uuid import UUID

import msgspec

from app.engine.core.draft import walk
from app.engine.core.events import MANUAL, EngineEvent, index_keys_of
from app.engine.core.steps import kind_of
from app.engine.core.steps.base import Consent
from app.engine.core.triggers import SegmentEntered, SegmentLeft
from app.engine.core.version import Program, Version


class Candidate(msgspec.Struct, frozen=True):
    """One workflow that an event may start, with the positions of its triggers that match. `audience` is an
    enrollment by publishing: only the entry condition is checked, no trigger. `required_consents` are the
    consents without which the workflow has nothing to do, when all it does is send to the contact."""

    program: Program
    triggers: list[int]
    audience: bool = False
    required_consents: frozenset[Consent] = frozenset()


class _Entrance(msgspec.Struct, frozen=True):
    program: Program
    required_consents: frozenset[Consent]


class TriggerIndex:
    """Every trigger of an account's live versions by the events it listens to, so that an event costs the
    same whether ten or ten thousand other workflows exist."""

    def __init__(self, programs: Iterable[Program]) -> None:
        self._by_key: dict[tuple[str, str], list[tuple[_Entrance, int]]] = {}
        self._by_workflow: dict[str, _Entrance] = {}
        self.segments: set[UUID] = set()  # the keys under which triggers are indexed
        for program in programs:
            self._add(program)

    def _add(self, program: Program) -> None:
        version = program.version
        entrance = _Entrance(program, required_consents(version))
        self._by_workflow[str(version.workflow_id)] = entrance
        for position, trigger in enumerate(version.triggers):
            if not version.listens_to(trigger):
                continue
            if isinstance(trigger, SegmentEntered | SegmentLeft) and trigger.segment is not None:
                self.segments.add(trigger.segment)
            for key in trigger.index_keys(version.workflow_id):
                self._by_key.setdefault(key, []).append((entrance, position))

    def candidates(self, event: EngineEvent, *, any_source: bool = False) -> list[Candidate]:
        """The workflows with a trigger that admits this event and listens to its source, each once; with
        `any_source` also those that do not listen, for "why not"."""
        if event.kind == MANUAL and event.data.get("audience"):
            named = self._by_workflow.get(str(event.data.get("workflow_id")))
            return [] if named is None else [Candidate(named.program, [], True, named.required_consents)]
        candidates: dict[UUID, Candidate] = {}
        for key in index_keys_of(event):
            for entrance, position in self._by_key.get(key, ()):
                version = entrance.program.version
                if not any_source and event.source not in version.triggers[position].sources:
                    continue
                fresh = Candidate(entrance.program, [], required_consents=entrance.required_consents)
                candidate = candidates.setdefault(version.workflow_id, fresh)
                if position not in candidate.triggers:
                    candidate.triggers.append(position)
        return list(candidates.values())


def required_consents(version: Version) -> frozenset[Consent]:
    """The consents that a workflow needs when all it does is send to the contact; empty when a step does
    anything else or may send without consent."""
    needed: set[Consent] = set()
    for _, _, step in walk(version.steps):
        kind = kind_of(step.config)
        consent = kind.required_consent(step.config)
        if consent is not None:
            needed.add(consent)
        elif not kind.only_routes:
            return frozenset()
    return frozenset(needed)
