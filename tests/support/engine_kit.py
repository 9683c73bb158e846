"""Short helpers for tests of the domain: fields, tags, contacts, programs, and a driver for the engine."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from app.engine.core.advance import advance
from app.engine.core.draft import Draft, WorkflowSettings
from app.engine.core.name_lookup import Names
from app.engine.core.steps import MAIN, BranchLane, Step, StepConfig
from app.engine.core.triggers import Manual, Trigger
from app.engine.core.types import Decision, EffectState, EnrollmentState, StepContext
from app.engine.core.version import Program, compile_version, freeze
from app.filters.ast import Filter, Group, Op, Predicate, Value
from app.filters.facts import Facts
from app.filters.fields import AccountNames, custom_field, field_catalog
from app.workflows.domain.draft_edits import insert

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
PARIS = ZoneInfo("Europe/Paris")

VIP, COLD, LATE = (UUID(int=number) for number in (1, 2, 3))
TAGS = {str(VIP): "vip", str(COLD): "cold", str(LATE): "late"}
NAMES = Names(TAGS)
SCORE, MEMBER, SINCE, PLAN, MOTTO = (UUID(int=number) for number in range(11, 16))
BUDGET, LIKES, MET, GUIDE, STORY = (UUID(int=number) for number in range(21, 26))
ANN, BEN = UUID(int=401), UUID(int=402)
WELCOME, RENEWAL = UUID(int=501), UUID(int=502)
# In Texas, or a customer with a high score; nested groups.
TEXANS, OURS, WARM = UUID(int=601), UUID(int=602), UUID(int=603)
# Known by name, but without a filter: no contact is in it.
GONE = UUID(int=604)
SEGMENTS: dict[UUID, Filter] = {
    TEXANS: Predicate("state", Op.IS, "ca"),
    WARM: Group("any", [Predicate("tags", Op.NONE_OF, [str(COLD)]), Predicate("owner", Op.ASSIGNED)]),
    OURS: Group(
        "all",
        [
            Predicate("segments", Op.ANY_OF, [str(TEXANS), str(WARM)]),
            Predicate("history", Op.NOT_HAPPENED, ["tag.added", 2, "7 days"]),
        ],
    ),
}
NAMED = AccountNames(
    {str(ANN): "Ann", str(BEN): "Ben"},
    {str(TEXANS): "Texans", str(OURS): "Ours", str(WARM): "Warm", str(GONE): "Gone"},
    {str(WELCOME): "Welcome", str(RENEWAL): "Renewal"},
    SEGMENTS,
)
FIELDS = field_catalog(
    [
        custom_field(SCORE, "score", "Score", "number"),
        custom_field(MEMBER, "member", "Member", "boolean"),
        custom_field(SINCE, "since", "Since", "date"),
        custom_field(PLAN, "plan", "Plan", "select", ["free", "pro", "team"]),
        custom_field(MOTTO, "motto", "Motto", "text"),
        replace(custom_field(BUDGET, "budget", "Budget", "money"), currency="EUR"),
        custom_field(LIKES, "likes", "Likes", "multi_select", ["tea", "milk, oat", "Tea cake"]),
        custom_field(MET, "met", "Met", "datetime"),
        custom_field(GUIDE, "guide", "Guide", "member"),
        replace(custom_field(STORY, "story", "Story", "long_text"), former_slugs=("tale",)),
    ],
    NAMED,
)
WORKFLOW = UUID(int=100)
ENROLLMENT = UUID(int=512)  # is looked at after all of the time that a step says
CONTACT = UUID(int=300)


def ask(field: str, op: Op | str, value: Value = None) -> Predicate:
    return Predicate(field, Op(op), value)


def every(*items: Filter) -> Group:
    return Group("all", list(items))


def either(*items: Filter) -> Group:
    return Group("any", list(items))


def contact_facts(tags: set[UUID] | None = None, zone: ZoneInfo = PARIS, **values: Any) -> Facts:
    """A contact; custom fields by their slug."""
    slugs = {spec.slug: spec.key for spec in FIELDS.values()}
    named = {slugs[name]: value for name, value in values.items()}
    return Facts(named, set(tags or ()), zone, CONTACT, "Acme")


def lane(key: str, condition: Filter | None) -> BranchLane:
    return BranchLane(key, key, condition)


def draft(*steps: StepConfig | tuple[StepConfig, dict[str, list[StepConfig]]]) -> Draft:
    """A draft of these steps, keyed s1, s2, … from top to bottom; a branch comes with its lanes."""
    new_draft = Draft(triggers=[Manual(key="t0")])
    for item in steps:
        config, lanes = item if isinstance(item, tuple) else (item, {})
        new_draft = insert(new_draft, MAIN, len(new_draft.steps), config)
        branch = new_draft.steps[-1].key
        for name, inside in lanes.items():
            for child in inside:
                new_draft = insert(new_draft, f"{branch}.{name}", 999, child)
    return new_draft


def program(
    *steps: StepConfig | tuple[StepConfig, dict[str, list[StepConfig]]],
    triggers: list[Trigger] | None = None,
    entry: Filter | None = None,
    settings: WorkflowSettings | None = None,
    workflow_id: UUID = WORKFLOW,
) -> Program:
    new_draft = replace(
        draft(*steps),
        triggers=triggers or [Manual(key="t0")],
        entry=entry,
        settings=settings or WorkflowSettings(),
    )
    return compile_version(freeze(new_draft, workflow_id, 1), FIELDS)


def after_decision(
    before: EnrollmentState, decision: Decision, effect: EffectState | None = None
) -> EnrollmentState:
    """The enrollment as the worker would read it again after writing this decision."""
    return replace(
        before,
        step_key=decision.step_key,
        seq=decision.seq,
        wait_reason=decision.wait_reason,
        wait_until=decision.wait_until,
        goal_key=decision.goal_key,
        effect=effect,
    )


NEW = EnrollmentState(ENROLLMENT, CONTACT)
SENT = EffectState("sent")


class DrivenEnrollment:
    """One enrollment driven by hand: its clock, its facts and everything decided so far."""

    def __init__(self, running: Program, facts: Facts, around: StepContext | None = None) -> None:
        self.program = running
        self.around = around or StepContext()
        self.facts = facts
        self.now = NOW
        self.state = NEW
        self.decisions: list[Decision] = []

    def go(
        self,
        effect: EffectState | None = None,
        answer: str | None = None,
        woken: bool = False,
        **later: float,
    ) -> Decision:
        """One wake-up, `later` (timedelta's words) after the one before."""
        self.now += timedelta(**later)
        state = replace(self.state, effect=effect, answer=answer, woken=woken)
        decision = advance(self.program, state, self.facts, self.now, self.around)
        self.state = replace(after_decision(self.state, decision), answer=None, woken=False)
        self.decisions.append(decision)
        return decision

    @property
    def path(self) -> list[tuple[int, str, str | None]]:
        """(seq, step, outcome) of every visit, closed ones with the outcome they got."""
        rows = {
            row.seq: (row.step_key, row.outcome) for decision in self.decisions for row in decision.executions
        }
        for decision in self.decisions:
            for closed in decision.closed:
                rows[closed.seq] = (rows[closed.seq][0], closed.outcome)
        return [
            (seq, key, outcome.value if outcome else None) for seq, (key, outcome) in sorted(rows.items())
        ]


def keys(steps: list[Step]) -> list[str]:
    return [step.key for step in steps]
