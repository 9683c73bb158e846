"""An enrollment that waits for an approval."""

from dataclasses import dataclass
from uuid import UUID

from app.engine.core.steps import ApprovalOption
from app.engine.core.steps import AskApproval as ApprovalStep
from app.engine.core.triggers import ContactCreated
from tests.support.fakes import Outside, TestClock
from tests.support.scenario import Stage
from tests.support.world import AccountMember, World


@dataclass
class PendingApproval:
    """One contact waits with an open question in a real workflow."""

    world: World
    stage: Stage
    owner: AccountMember
    contact: UUID
    approval: UUID

    @property
    def path(self) -> str:
        return f"/approvals/{self.approval}/answer"

    async def row(self) -> dict[str, object]:
        return dict(await self.stage.row("select * from approvals where id = $1", self.approval))


async def ask(
    world: World, clock: TestClock, outside: Outside, users: list[UUID] | None = None
) -> PendingApproval:
    owner = await world.person()
    stage = Stage(world, owner.account_id, clock, outside)
    options = [ApprovalOption(key="a1", name="Yes"), ApprovalOption(key="a2", name="No")]
    step = ApprovalStep(question="Call {{ contact.first_name }}?", options=options, users=users or [])
    await stage.workflow([step], ContactCreated(key="t1"))
    contact = await stage.contact()
    await stage.emit("contact.created", contact)
    await stage.drain()
    row = await stage.row("select id from approvals where contact_id = $1", contact)
    return PendingApproval(world, stage, owner, contact, row["id"])
