"""Drafts and published workflows for tests of publishing."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from app.engine.core.draft import Draft, WorkflowSettings
from app.engine.core.steps import MAIN, StepConfig
from app.engine.core.triggers import ContactCreated
from app.work import open_work
from app.workflows.domain.draft_edits import insert
from app.workflows.schemas.publication import MoveChoice, Published, PublishForm
from app.workflows.use_cases.edit import create_workflow, save_draft
from app.workflows.use_cases.publication import publish, set_held
from tests.support.scenario import USER, Stage

CREATED = ContactCreated(key="t99")


def draft_of(*steps: StepConfig, settings: WorkflowSettings | None = None, trigger: Any = CREATED) -> Draft:
    draft = Draft(triggers=[trigger], settings=settings or WorkflowSettings())
    for config in steps:
        draft = insert(draft, MAIN, len(draft.steps), config)
    return draft


class Flow:
    """One workflow that is edited and published."""

    def __init__(self, stage: Stage, workflow: UUID) -> None:
        self.stage, self.id, self.rev = stage, workflow, 0

    @classmethod
    async def create(cls, stage: Stage) -> "Flow":
        async with open_work(stage.runtime, stage.account, USER) as work:
            return cls(stage, await create_workflow(work, "Welcome"))

    async def save(self, draft: Draft) -> None:
        async with open_work(self.stage.runtime, self.stage.account, USER) as work:
            self.rev = await save_draft(work, self.id, draft)

    async def publish(self, *choices: MoveChoice) -> Published:
        async with open_work(self.stage.runtime, self.stage.account, USER) as work:
            return await publish(work, self.id, PublishForm(self.rev, list(choices)))

    async def people(self, count: int = 1) -> Sequence[UUID]:
        """Creates contacts that enter; returns their ids once the engine has nothing left to do."""
        people = await self.stage.contacts(count)
        for person in people:
            await self.stage.emit("contact.created", person)
        await self.stage.drain()
        return people

    async def hold(self, held: bool) -> None:
        async with open_work(self.stage.runtime, self.stage.account, USER) as work:
            await set_held(work, self.id, held)
