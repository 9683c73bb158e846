"""The demo's three workflows, published. None of them starts with the tag `vip`, so visitors can build one
that does."""

from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.engine.core.draft import Draft
from app.engine.core.steps import (
    ELSE,
    MAIN,
    AddTag,
    Branch,
    BranchLane,
    Goal,
    SendEmail,
    StepConfig,
    Unit,
    Wait,
)
from app.engine.core.triggers import Manual, TagAdded
from app.engine.core.version import Version, content_hash, freeze
from app.filters.ast import Op, Predicate
from app.filters.fields import Fields
from app.workflows.domain.draft_edits import add_trigger
from app.workflows.domain.draft_edits import insert as add_step
from app.workflows.domain.references import references
from db.models import Workflow
from db.queries.workflow_drafts import write_draft
from db.repositories.workflows import RevisionRepository, VersionRepository, WorkflowRepository
from db.seeds.contacts import field_id, tag_id
from db.seeds.sample_text import WORKFLOW, fixed

ACCOUNT = 1
BY = "Olivia Owner"


def trial() -> Draft:
    """Trial → email → wait 2 days → by score → wait 3 days → goal: chose the pro plan."""
    score, plan = f"custom.{field_id(ACCOUNT, 1)}", f"custom.{field_id(ACCOUNT, 0)}"
    high_score = BranchLane("b1", "Score of 60 and more", Predicate(score, Op.GE, 60))
    draft = _triggered("trial")
    draft = _add(draft, _mail("Your trial, {{ contact.first_name }}", "how to get the most out of it."))
    draft = _add(draft, Wait(amount=2, unit=Unit.DAYS))
    draft = _add(draft, Branch(branches=[high_score]))
    branch = draft.steps[-1].key
    draft = add_step(draft, f"{branch}.b1", 0, _mail("Shall we talk?", "choose an hour that suits you."))
    draft = add_step(draft, f"{branch}.{ELSE}", 0, _mail("Three tips", "what others do in their first week."))
    draft = _add(draft, Wait(amount=3, unit=Unit.DAYS))
    pro = Predicate(plan, Op.ANY_OF, ["pro"])
    return _add(draft, Goal(name="Chose the pro plan", filter=pro, on_unmet="wait", amount=14))


def renewal() -> Draft:
    """Renewal → email → wait 5 days → email → tag partner."""
    draft = _triggered("renewal")
    draft = _add(draft, _mail("Your renewal, {{ contact.first_name }}", "your plan renews soon."))
    draft = _add(draft, Wait(amount=5, unit=Unit.DAYS))
    draft = _add(draft, _mail("Still with us?", "a short reminder about your renewal."))
    return _add(draft, AddTag(tag=tag_id(ACCOUNT, "event 2026")))


def newsletter() -> Draft:
    """Newsletter → email → wait 1 day → by state → done."""
    west_coast = Predicate("state", Op.IN, ["CA", "OR", "WA"])
    draft = _triggered("newsletter")
    draft = _add(draft, _mail("Welcome, {{ contact.first_name }}", "this is what you will read here."))
    draft = _add(draft, Wait(amount=1, unit=Unit.DAYS))
    draft = _add(draft, Branch(branches=[BranchLane("b1", "West coast", west_coast)]))
    branch = draft.steps[-1].key
    return add_step(draft, f"{branch}.b1", 0, _mail("Near you", "we come to {{ contact.city }} in spring."))


def _triggered(tag: str) -> Draft:
    draft = add_trigger(Draft(), TagAdded(tag=tag_id(ACCOUNT, tag)))
    return add_trigger(draft, Manual())


def _add(draft: Draft, config: StepConfig) -> Draft:
    return add_step(draft, MAIN, len(draft.steps), config)


def _mail(subject: str, sentence: str) -> SendEmail:
    return SendEmail(subject=subject, body=f"Hello {{{{ contact.first_name }}}},\n\n{sentence}\n\nAcme")


NAMES = {
    "trial": ("Trial onboarding", "From the first day to the pro plan.", trial),
    "renewal": ("Renewal reminder", "Two emails before a plan renews.", renewal),
    "newsletter": ("Newsletter welcome", "Greets new subscribers.", newsletter),
}


async def write_workflows(session: AsyncSession, fields: Fields, at: datetime) -> dict[str, Version]:
    """Writes the draft, the revisions and version 1 of each workflow, live since `at`; returns the versions
    by tag."""
    published = {}
    for number, (tag, (name, description, build)) in enumerate(NAMES.items()):
        draft = build()
        workflow = Workflow(
            id=fixed(WORKFLOW, number), name=name, description=description, created_by=BY, created_at=at,
            settings=msgspec.to_builtins(draft.settings), live_version=1, status="active",
        )  # fmt: skip
        version = freeze(draft, workflow.id, 1)
        await WorkflowRepository(session).add(workflow)
        await _write_draft(session, workflow.id, draft)
        await VersionRepository(session).store(
            version, content_hash(version), BY, references(version, fields), at
        )
        published[tag] = version
    return published


async def _write_draft(session: AsyncSession, workflow_id: UUID, draft: Draft) -> None:
    revisions = RevisionRepository(session)
    await revisions.store(workflow_id, 0, "created", Draft(), None, None, BY)
    await write_draft(session, workflow_id, draft, 1)
    await revisions.store(workflow_id, 1, "Made the demo", draft, 0, None, BY)
