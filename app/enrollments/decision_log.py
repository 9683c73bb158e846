"""Why a contact did or did not enter a workflow. `why_page` lists the contact's events with the stored
decisions. For an event that left no decision it computes today's answer and marks it as such."""

from uuid import UUID

from app.contacts.domain import name_of
from app.engine.core.entry_rules import EntryDecision, Verdict, decide_entry
from app.engine.core.events import CONTACT_DELETED, EngineEvent, Source
from app.engine.core.trigger_index import TriggerIndex
from app.engine.core.version import CompileError, Program
from app.engine.matching.contact_facts import ContactFactsCache
from app.engine.matching.enroll import EntryCandidate, count_entries_today, read_entry_histories
from app.engine.program_cache import AccountContext
from app.enrollments.decision_values import ValueNames, decision_values
from app.enrollments.labels import EVENTS, SOURCES
from app.enrollments.pages import workflow_choices, zone_of
from app.enrollments.schemas import WhyLine, WhyPage
from app.errors import NotFound
from app.web.paging import Paging, neighbor_links
from app.work import Work
from db.queries.contact_pages import find_contact
from db.queries.event_decisions import EventAndDecision, read_events_and_decisions

NOT_ASKED = "No trigger of this workflow starts on this event."
NOT_YET = "Not checked yet. This takes only a moment."
PASSED_OVER = "Skipped because the check failed repeatedly. The contact's history shows the errors."
ARCHIVED = "The workflow is archived, so no contacts can enter."
UNPUBLISHED = "The workflow isn't published, so no contacts can enter."
BROKEN = "The live version can't run ({error}), so no contacts can enter. Correct the draft and publish it."
CLOSED = "The live version accepts only contacts that matched when it was published."
SENTENCES = {
    Verdict.ENROLLED: "The contact entered.",
    Verdict.FILTER_FALSE: "The {filter} condition wasn't met.",
    Verdict.SOURCE_NOT_LISTENED: "The matching triggers don't start on changes made {by}.",
    Verdict.ALREADY_ACTIVE: "The contact was already in the workflow.",
    Verdict.REENTRY_ONCE: "The contact was in the workflow before, and contacts can enter only once.",
    Verdict.REENTRY_COOLDOWN: "The contact left too recently. It can enter again after {until}.",
    Verdict.GOAL_ALREADY_MET: "The goal was already met.",
    Verdict.SUPPRESSED: "The contact denied consent to what the workflow would send.",
    Verdict.WORKFLOW_PAUSED: "The workflow was paused.",
    Verdict.LOOP_GUARD: "Workflows started each other too many times.",
    Verdict.ENTRY_CAP: "The limit of entries per 24 hours was reached.",
}


async def why_page(
    work: Work,
    contact_id: UUID,
    workflow_id: UUID | None,
    paging: Paging,
) -> WhyPage:
    """A page of the contact's events, newest first, each with the decision of the workflow. Raises
    `NotFound`."""
    contact = await find_contact(work.session, contact_id)
    if contact is None:
        raise NotFound("contact")
    name = name_of(contact)
    page = WhyPage(contact_id, name, workflow_id, "", None, [], "", "", await workflow_choices(work), [])
    if workflow_id is None:
        return page
    workflow = await work.workflows.header(workflow_id)
    if workflow is None:
        raise NotFound("workflow")
    page.workflow_name, page.status = workflow.name, workflow.status
    account = await AccountContext.of(work)
    rows, more = await _page_of_events(work, workflow_id, contact_id, paging)
    live = (workflow_id, workflow.live_version) if workflow.live_version else None
    program = (await account.programs([live])).get(live) if live else None
    now = await _now(work, account, [row for row in rows if _settled(row)], program, workflow.status)
    otherwise = unasked(workflow.status, program)
    page.items = [_line(row, now, otherwise) for row in rows]
    names = ValueNames(await work.fields.catalog(), await work.tags.names(), work.now, zone_of(work))
    for line in page.items:
        line.values = decision_values(line.detail, names)
    path, query = f"/contacts/{contact_id}/why", {"workflow": str(workflow_id)}
    page.next, page.previous = neighbor_links(path, query, rows, paging, more=more)
    return page


async def _page_of_events(
    work: Work, workflow_id: UUID, contact_id: UUID, paging: Paging
) -> tuple[list[EventAndDecision], bool]:
    """A page of events, newest first, and whether there are more in the direction of `paging`."""
    limit = paging.size()
    rows = await read_events_and_decisions(
        work.session, workflow_id, contact_id, paging.after, paging.before, limit + 1
    )
    page = rows[:limit]
    return (page[::-1] if paging.before is not None else page), len(rows) > limit


def unasked(status: str, program: Program | CompileError | None) -> str:
    """The sentence for an event without a decision, by the state of the workflow and its live version."""
    if status == "archived":
        return ARCHIVED
    if program is None:
        return UNPUBLISHED
    if isinstance(program, CompileError):
        return BROKEN.format(error=str(program).rstrip("."))
    return CLOSED if program.version.closed else NOT_ASKED


async def _now(
    work: Work,
    account: AccountContext,
    rows: list[EventAndDecision],
    program: Program | CompileError | None,
    status: str,
) -> dict[UUID, EntryDecision]:
    """The decisions that the live version would make now on events without a stored decision."""
    if not isinstance(program, Program) or status not in ("active", "paused"):
        return {}
    index = TriggerIndex([program])
    candidates = []
    for row in rows:
        event = EngineEvent(row.id, row.kind, Source(row.source), row.subject_id, row.data, row.depth)
        candidates += [
            EntryCandidate(event, row.id, candidate) for candidate in index.candidates(event, any_source=True)
        ]
    facts_cache = ContactFactsCache(account)
    gone = [candidate.event.subject_id for candidate in candidates if candidate.event.kind == CONTACT_DELETED]
    await facts_cache.load(((candidate.event.subject_id, program) for candidate in candidates), gone=gone)
    before = await read_entry_histories(work, candidates)
    today = await count_entries_today(work, candidates)
    return {
        candidate.event.id: decide_entry(
            candidate.match,
            candidate.event,
            before[candidate.pair].history,
            facts_cache.of(candidate.event.subject_id, gone=candidate.event.kind == CONTACT_DELETED),
            work.now,
            accepting=status == "active",
            entries_last_day=today.get(candidate.pair[0], 0),
        )
        for candidate in candidates
    }


def _settled(row: EventAndDecision) -> bool:
    """Whether the matcher has processed the event and stored no decision."""
    return row.verdict is None and row.matched and not row.passed_over


def _line(row: EventAndDecision, now: dict[UUID, EntryDecision], otherwise: str) -> WhyLine:
    what = f"{EVENTS.get(row.kind, row.kind)} {SOURCES.get(row.source, '')}".strip() + "."
    line = WhyLine(row.id, row.kind, row.source, row.occurred_at, what, "", otherwise, {}, False)
    if row.verdict is not None:
        line.verdict, line.detail = row.verdict, row.detail or {}
    elif row.id in now:
        line.verdict, line.detail, line.evaluated_now = now[row.id].verdict.value, now[row.id].detail, True
    elif row.passed_over or not row.matched:
        line.sentence = PASSED_OVER if row.passed_over else NOT_YET
    if line.verdict:
        line.sentence = _sentence(line)
    return line


def _sentence(line: WhyLine) -> str:
    sentence = SENTENCES[Verdict(line.verdict)].format(
        filter="entry" if line.detail.get("filter") == "entry" else "trigger's",
        by=SOURCES.get(line.source, line.source),
        until=line.detail.get("until", "later"),
    )
    if line.detail.get("contact") == "deleted":
        sentence = "The contact was deleted."
    if line.evaluated_now and line.verdict == Verdict.ENROLLED:
        return "The decision is no longer stored. Today the contact would enter."
    return sentence
