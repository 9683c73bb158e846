"""Builds the list of imports (`list_page`), the page of one (`page_of`: its stage, the columns, examples of
each verdict, the actions) and the table of its rejected rows (`bad_rows`)."""

from app.contacts.domain import display_name
from app.filters.fields import Fields
from app.imports.domain.columns import IGNORE, column_targets
from app.imports.domain.consents import CHANNELS, is_opt_out
from app.imports.domain.row_matching import Verdict, escape_formula
from app.imports.domain.stored import read_options, read_values
from app.imports.schemas import (
    ExternalIdMatches,
    FileColumn,
    ImportList,
    ImportPage,
    MappingForm,
    MatchSample,
    RejectionReason,
    RowSample,
    TargetField,
    VerdictRows,
)
from app.imports.use_cases import is_checked, may_cancel, may_map, may_run, status_of, summary_of
from app.permissions import Permission
from app.web.actions import Action, action, actions
from app.web.paging import Paging, neighbor_links
from app.work import Work
from db.queries.import_pages import ImportRecord, fetch_import_page
from db.queries.import_rows import (
    StoredRow,
    count_bad_reasons,
    iterate_bad_rows,
    list_rows_matched_by_external_id,
    list_sample_rows,
)

IMPORT = Permission.IMPORT_CONTACTS
EXAMPLES = 5
LABELS: dict[Verdict, str] = {"new": "New", "changed": "Changed", "unchanged": "Unchanged", "bad": "Rejected"}
STEPS = {"uploaded": "columns", "checking": "checking", "ready": "preview", "running": "running"}


async def list_page(work: Work, paging: Paging) -> ImportList:
    """One page of the imports, newest first."""
    rows, more = await fetch_import_page(
        work.session, after=paging.after, before=paging.before, limit=paging.size()
    )
    following, previous = neighbor_links("/imports", {}, rows, paging, more=more)
    new = action(work, "new", "New import", "/imports/new", permission=IMPORT, method="GET")
    return ImportList(
        items=[summary_of(row) for row in rows],
        next=following,
        previous=previous,
        actions=actions(new),
    )


async def bad_rows(work: Work, import_: ImportRecord) -> list[list[str]]:
    """The rejected lines as they are in the file, with their line number and the reason in front, below a
    header."""
    table = [["line", "reason", *(escape_formula(name) for name in import_.header)]]
    table += [
        [str(row.line), row.reason or "", *(escape_formula(cell) for cell in row.cells)]
        async for row in iterate_bad_rows(work.session, import_.id)
    ]
    return table


async def page_of(work: Work, import_: ImportRecord, *, columns: bool = False) -> ImportPage:
    """The page of a loaded import. `columns` asks for the column mapping, which is shown while it can still
    be changed."""
    step = step_of(import_, columns=columns)
    fields, options = await work.fields.catalog(), read_options(import_.options)
    shown = step in ("preview", "result")
    return ImportPage(
        item=summary_of(import_),
        step=step,
        encoding=import_.encoding,
        delimiter=import_.delimiter,
        columns=_columns(import_, options.samples),
        choices=[TargetField(key, label) for key, label in column_targets(fields)]
        if step == "columns"
        else [],
        tags=options.tags,
        existing=options.existing,
        source=options.source,
        first_line="names" if options.has_header else "person",
        job_id=import_.job_id,
        verdicts=[await _verdicts(work, import_, verdict, fields) for verdict in LABELS] if shown else [],
        matched_by_external_id=await _matches(work, import_) if shown else None,
        actions=_actions(work, import_, step),
    )


def step_of(import_: ImportRecord, *, columns: bool = False) -> str:
    """The stage of an import: columns, checking, preview, running or result."""
    if columns and may_map(import_):
        return "columns"
    state = status_of(import_)
    if state in ("failed", "cancelled") and not is_checked(import_):
        return "columns"
    return STEPS.get(state, "result")


def _columns(import_: ImportRecord, samples: list[list[str]]) -> list[FileColumn]:
    return [
        FileColumn(
            number,
            name,
            samples[number] if number < len(samples) else [],
            import_.mapping.get(str(number), IGNORE),
            is_opt_out(name),
        )
        for number, name in enumerate(import_.header)
    ]


async def _verdicts(work: Work, import_: ImportRecord, verdict: Verdict, fields: Fields) -> VerdictRows:
    count = {
        "new": import_.rows_new,
        "changed": import_.rows_changed,
        "unchanged": import_.rows_unchanged,
        "bad": import_.rows_bad,
    }[verdict]
    rows = await list_sample_rows(work.session, import_.id, verdict, EXAMPLES) if count else []
    reasons = (
        await count_bad_reasons(work.session, import_.id, EXAMPLES) if count and verdict == "bad" else []
    )
    return VerdictRows(
        verdict,
        LABELS[verdict],
        count,
        [_sample(row, fields) for row in rows],
        [RejectionReason(row.reason or "", row.count) for row in reasons],
    )


async def _matches(work: Work, import_: ImportRecord) -> ExternalIdMatches | None:
    """Rows matched by external ID, so that the member sees whether the ids of two systems collide; None if no
    column is mapped to it."""
    if "external_id" not in import_.mapping.values():
        return None
    counts, rows = await list_rows_matched_by_external_id(work.session, import_.id, EXAMPLES)
    return ExternalIdMatches(
        counts.matched, counts.differing, [match for row in rows if (match := _match(row)) is not None]
    )


def _match(row: StoredRow) -> MatchSample | None:
    stored = read_values(row.values)
    values, contact = stored.values, stored.by_external_id
    if contact is None:
        return None
    return MatchSample(
        row.line,
        str(values.get("external_id", "")),
        display_name(values),
        " · ".join(str(values[key]) for key in ("email", "company") if values.get(key)),
        row.contact_id,
        contact.name,
        contact.detail,
        contact.differs,
    )


def _sample(row: StoredRow, fields: Fields) -> RowSample:
    stored = read_values(row.values)
    values, changes = stored.values, stored.changes if row.verdict == "changed" else {}
    cells = [cell.strip() for cell in row.cells if cell.strip()]
    title = display_name(values) if values else " ".join(cells[:2])[:80]
    details = [str(values[key]) for key in ("email", "phone", "company") if values.get(key)]
    details += [f"{fields[key].label}: {values[key]}" for key in CHANNELS if values.get(key)]
    details = details or [" · ".join(cells[2:5])[:120]]
    shown = [
        (fields[key].label if key in fields else key, before, after)
        for key, (before, after) in changes.items()
        if key != "tags"
    ]
    if "tags" in changes:
        shown.append(("Tags", None, f"{changes['tags'][1]} more"))
    return RowSample(row.line, title, " · ".join(details), row.reason or "", row.contact_id, shown)


def _actions(work: Work, import_: ImportRecord, step: str) -> list[Action]:
    href = f"/imports/{import_.id}"
    stopped = status_of(import_) in ("failed", "cancelled")
    return actions(
        action(work, "map", "Check file", f"{href}/mapping", permission=IMPORT, form=MappingForm,
               when=step == "columns" and may_map(import_)),
        action(work, "run", "Resume" if stopped else "Import", f"{href}/run", permission=IMPORT,
               when=step in ("preview", "result") and may_run(import_)),
        action(work, "cancel", "Cancel", f"{href}/cancellation", permission=IMPORT, when=may_cancel(import_)),
    )  # fmt: skip
