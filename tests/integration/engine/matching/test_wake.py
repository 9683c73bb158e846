"""Which enrollments wake up on changes around a contact: its workflows, and on-demand events."""

from datetime import timedelta
from uuid import UUID

import pytest

from app.engine.advancing.runner import advance_enrollments
from app.engine.core.steps import AddNote, Goal, SendEmail, StepConfig, Unit, Wait, WaitFor
from app.engine.core.triggers import ContactCreated, InboundWebhook, Manual, SegmentEntered
from app.engine.core.version import Program
from app.engine.matching.contact_facts import ContactFactsCache
from app.engine.program_cache import AccountContext
from app.filters.ast import Filter, Op
from app.ports import Refused, Sent
from app.work import SYSTEM, open_work
from db.ids import uuid7
from tests.support.scenario import Stage, Steps, ask

CREATED = ContactCreated(key="t1")
FAR = Wait(amount=30, unit=Unit.DAYS)
HOUR = Wait(amount=1, unit=Unit.HOURS)
MAIL = SendEmail(subject="Hi", body="Hi")


def until(goal: Filter) -> Steps:
    """A long wait with a goal behind it."""
    return [FAR, Goal(filter=goal), AddNote(text="met")]


async def begin(stage: Stage) -> UUID:
    contact_id = await stage.contact()
    await stage.emit("contact.created", contact_id)
    await stage.drain()
    return contact_id


async def met(stage: Stage, contact: UUID) -> bool:
    return bool(await stage.sql("select from notes where contact_id = $1 and body = 'met'", contact))


@pytest.mark.parametrize("inside", [False, True])
async def test_end_of_another_workflow_meets_a_goal(stage: Stage, inside: bool) -> None:
    other = await stage.workflow([HOUR], CREATED)
    goal = ask("workflows", Op.COMPLETED, [str(other)])
    if inside:
        goal = ask("segments", Op.ANY_OF, [str(await stage.segment(goal))])
    await stage.workflow(until(goal), CREATED)
    ann = await begin(stage)
    assert not await met(stage, ann)
    await stage.drain(hours=1, minutes=1)
    assert await met(stage, ann)


@pytest.mark.parametrize("read_before", [False, True])
@pytest.mark.parametrize("op", [Op.ACTIVE_IN, Op.EVER_IN])
async def test_entering_another_workflow_meets_a_goal(stage: Stage, op: Op, read_before: bool) -> None:
    """Also where the matcher had read where the contact is before it let it in."""
    asks = ask("workflows", Op.NOT_ACTIVE_IN, [str(uuid7())]) if read_before else None
    hook = InboundWebhook(key="t1", sources=["user"])  # type: ignore[list-item]  # a StrEnum
    other = await stage.workflow([FAR], hook, entry=asks)
    await stage.workflow(until(ask("workflows", op, [str(other)])), CREATED)
    ann = await begin(stage)
    await stage.emit("webhook.received", ann, {"trigger": f"{other}:t1", "body": {}})
    await stage.drain()
    assert await met(stage, ann)


async def test_manual_entry_updates_segments_on_workflows(stage: Stage) -> None:
    by_hand = await stage.workflow([FAR], Manual(key="t1"))
    inside = await stage.segment(ask("workflows", Op.ACTIVE_IN, [str(by_hand)]))
    await stage.workflow([AddNote(text="met")], SegmentEntered(key="t1", segment=inside))
    await stage.sql("update segments set due_at = now() + interval '1 day' where id = $1", inside)
    ann = await stage.contact()
    await stage.emit("enrollment.requested", ann, {"workflow_id": str(by_hand)})
    await stage.drain()
    assert await met(stage, ann)


SENT, NO_SUCH = Sent({}), Refused("550 no such user", permanent=True, error_class="address")


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(
    ("kind", "answer"), [("email.delivered", SENT), ("email.bounced", NO_SUCH), ("enrollment.ended", SENT)]
)
async def test_condition_on_history_subscribes_to_on_demand_events(
    stage: Stage, kind: str, answer: Sent | Refused, inside: bool
) -> None:
    goal = ask("history", Op.HAPPENED, [kind, 1, "7 days"])
    if inside:
        goal = ask("segments", Op.ANY_OF, [str(await stage.segment(goal))])
    stage.outside.answers = [answer]
    await stage.workflow(until(goal), CREATED)
    await stage.workflow([MAIL], CREATED)
    assert await met(stage, await begin(stage))


@pytest.mark.parametrize("field", ["city", ""])
async def test_events_without_subscribers_are_not_emitted(stage: Stage, field: str) -> None:
    """Neither a condition on another kind nor one on a change asks for it."""
    value = [field, "7 days"] if field else ["tag.added", 1, "7 days"]
    goal = ask("history", Op.CHANGED if field else Op.HAPPENED, value)
    await stage.workflow(until(goal), CREATED)
    await stage.workflow([MAIL], CREATED)
    await begin(stage)
    rows = await stage.sql(
        "select kind from events where account_id = $1 and kind <> 'contact.created'", stage.account
    )
    assert [row["kind"] for row in rows] == []


async def test_only_needed_history_is_read(stage: Stage) -> None:
    """The latest ten minutes of one kind, of two weeks with every kind of them."""
    asks = ask("history", Op.HAPPENED, ["tag.added", 2, "10 minutes"])
    flow = await stage.workflow([AddNote(text="met")], CREATED, entry=asks)
    ann = await stage.contact()
    for _ in range(2):
        await stage.emit("tag.added", ann, {"tag_id": str(flow)})
        await stage.emit("note.added", ann)
        await stage.drain(days=7)
    await stage.emit("tag.added", ann, {"tag_id": str(flow)})
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        setting = await AccountContext.of(work)
        program = (await setting.programs([(flow, 1)]))[flow, 1]
        assert isinstance(program, Program)
        people = ContactFactsCache(setting)
        await people.load([(ann, program)])
        facts = people.of(ann)
    assert facts is not None
    assert [entry.kind for entry in facts.history] == ["tag.added"]


async def test_segment_entry_has_the_deepest_event_depth(stage: Stage) -> None:
    """A member's change beside it does not reset the depth of a chain of workflows."""
    texans = await stage.segment(ask("state", "is", "TX"))
    await stage.workflow([AddNote(text="met")], SegmentEntered(key="t1", segment=texans))
    await stage.sql("update segments set due_at = now() + interval '1 day' where id = $1", texans)
    ann = await stage.contact()
    await stage.change(ann, "state", "TX")
    await stage.sql("update events set depth = 9, source = 'workflow' where subject_id = $1", ann)
    await stage.emit("note.added", ann)
    await stage.drain()
    entered = await stage.row(
        "select e.depth, e.source, c.kind from events e join events c on c.id = e.root_event_id"
        " where e.subject_id = $1 and e.kind = 'segment.entered'", ann,
    )  # fmt: skip
    assert tuple(entered) == (9, "workflow", "contact.updated")


async def test_wait_ignores_events_of_the_move_in_which_it_began(stage: Stage) -> None:
    """The note of the step before it does not count; a later one does."""
    lanes: dict[str, list[StepConfig]] = {"met": [AddNote(text="met")]}
    await stage.workflow([AddNote(text="own"), (WaitFor(mode="event", event="note.added"), lanes)], CREATED)
    ann = await begin(stage)
    await stage.drain()
    assert not await met(stage, ann)
    await stage.emit("note.added", ann)
    await stage.drain()
    assert await met(stage, ann)


async def test_changed_date_moves_its_wait(stage: Stage) -> None:
    """At once, and not when the old one comes."""
    field = await stage.date_field("renewal")
    dated = Wait(mode="date_field", field=f"custom.{field}", at="12:00")
    await stage.workflow([dated, AddNote(text="met")], CREATED)
    ann = await stage.contact()
    today = (await stage.now()).date()
    await stage.set_date(ann, field, (today + timedelta(days=20)).isoformat())
    await stage.emit("contact.created", ann)
    await stage.drain()
    before = (await stage.enrollment(ann))["wait_until"]
    await stage.set_date(ann, field, (today + timedelta(days=3)).isoformat())
    await stage.emit("contact.updated", ann, {"changes": {f"custom.{field}": [None, "another day"]}})
    await stage.drain()
    assert (await stage.enrollment(ann))["wait_until"] == before - timedelta(days=17)
    await stage.drain(days=4)
    assert await met(stage, ann)


@pytest.mark.parametrize("written_before", [False, True])
async def test_wait_does_not_time_out_before_earlier_events_are_matched(
    stage: Stage, written_before: bool
) -> None:
    """Also where something that happened later was written before it."""
    vip = await stage.tag("vip")
    waits = WaitFor(mode="event", event="tag.added", about=str(vip), amount=1, unit=Unit.HOURS)
    await stage.workflow([(waits, {"met": [AddNote(text="met")]})], CREATED)
    ann = await begin(stage)
    if written_before:
        later = await stage.emit("note.added", ann)
        put_off = "update events set occurred_at = occurred_at + interval '2 hours' where id = $1"
        await stage.sql(put_off, later)
    await stage.add_tag(ann, vip)
    stage.clock.forward(hours=2)
    async with open_work(stage.runtime, stage.account, SYSTEM) as work:
        await advance_enrollments(work)  # before the matcher has come to it
    assert (await stage.enrollment(ann))["status"] == "active"
    await stage.drain(seconds=31)
    assert await met(stage, ann)


async def test_event_after_the_end_of_a_wait_does_not_count(stage: Stage) -> None:
    """Also when it was not matched yet: the matcher runs before enrollments advance."""
    vip = await stage.tag("vip")
    waits = WaitFor(mode="event", event="tag.added", about=str(vip), amount=1, unit=Unit.HOURS)
    await stage.workflow([(waits, {"met": [AddNote(text="met")]})], CREATED)
    ann = await begin(stage)
    stage.clock.forward(hours=2)
    await stage.add_tag(ann, vip)
    await stage.drain()
    assert (await stage.enrollment(ann))["status"] == "completed"
    assert not await met(stage, ann)
