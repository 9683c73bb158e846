"""Builds the page of one import (`page_of`): its stage, the columns, examples of each verdict, the
actions."""

from collections.abc import Mapping
from typing import Any

from app.contacts.domain import display_name
from app.filters.fields import Fields
from app.imports.domain.columns import IGNORE, column_targets
from app.imports.domain.consents import CHANNELS, is_opt_out
from app.imports.schemas import (
    ExternalIdMatches,
    FileColumn,
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
from app.work import Work

IMPORT = Permission.IMPORT_CONTACTS
EXAMPLES = 5
LABELS = {"new": "New", "changed": "Changed", "unchanged": "Unchanged", "bad": "Rejected"}
STEPS = {"uploaded": "columns", "checking": "checking", "ready": "preview", "running": "running"}


async def page_of(work: Work, import_: Any, *, columns: bool = False) -> ImportPage:
    """The page of a loaded import. `columns` asks for the column mapping, which is shown while it can still
    be changed."""
    step = step_of(import_, columns=columns)
    fields = await work.fields.catalog()
    shown = step in ("preview", "result")
    return ImportPage(
        item=summary_of(import_),
        step=step,
        encoding=import_.encoding,
        delimiter=import_.delimiter,
        columns=_columns(import_),
        choices=[TargetField(key, label) for key, label in column_targets(fields)]
        if step == "columns"
        else [],
        tags=import_.options.get("tags", []),
        existing=import_.options.get("existing", "update"),
        first_line="names" if import_.options.get("has_header", True) else "person",
        job_id=import_.job_id,
        verdicts=[await _verdicts(work, import_, verdict, fields) for verdict in LABELS] if shown else [],
        matched_by_external_id=await _matches(work, import_) if shown else None,
        actions=_actions(work, import_, step),
    )


def step_of(import_: Any, *, columns: bool = False) -> str:
    """The stage of an import: columns, checking, preview, running or result."""
    if columns and may_map(import_):
        return "columns"
    state = status_of(import_)
    if state in ("failed", "cancelled") and not is_checked(import_):
        return "columns"
    return STEPS.get(state, "result")


def _columns(import_: Any) -> list[FileColumn]:
    samples = import_.options.get("samples", [])
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


async def _verdicts(work: Work, import_: Any, verdict: str, fields: Fields) -> VerdictRows:
    count: int = getattr(import_, f"rows_{verdict}")
    rows = await work.imports.samples(import_.id, verdict, EXAMPLES) if count else []
    reasons = await work.imports.bad_reasons(import_.id, EXAMPLES) if count and verdict == "bad" else []
    return VerdictRows(
        verdict,
        LABELS[verdict],
        count,
        [_sample(row, fields) for row in rows],
        [RejectionReason(row.reason or "", row.count) for row in reasons],
    )


async def _matches(work: Work, import_: Any) -> ExternalIdMatches | None:
    """Rows matched by external ID, so that the member sees whether the ids of two systems collide; None if no
    column is mapped to it."""
    if "external_id" not in import_.mapping.values():
        return None
    count, differing, rows = await work.imports.matched_by_external_id(import_.id, EXAMPLES)
    return ExternalIdMatches(count, differing, [_match(row) for row in rows])


def _match(row: Any) -> MatchSample:
    values, contact = row.values["set"], row.values["by_external_id"]
    return MatchSample(
        row.line,
        str(values.get("external_id", "")),
        display_name(values),
        " · ".join(str(values[key]) for key in ("email", "company") if values.get(key)),
        row.contact_id,
        contact["name"],
        contact["detail"],
        contact["differs"],
    )


def _sample(row: Any, fields: Fields) -> RowSample:
    values: Mapping[str, Any] = row.values.get("set", {})
    changes = row.values.get("changes", {}) if row.verdict == "changed" else {}
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


def _actions(work: Work, import_: Any, step: str) -> list[Action]:
    href = f"/imports/{import_.id}"
    stopped = status_of(import_) in ("failed", "cancelled")
    return actions(
        action(work, "map", "Check file", f"{href}/mapping", permission=IMPORT, form=MappingForm,
               when=step == "columns" and may_map(import_)),
        action(work, "run", "Resume" if stopped else "Import", f"{href}/run", permission=IMPORT,
               when=step in ("preview", "result") and may_run(import_)),
        action(work, "cancel", "Cancel", f"{href}/cancellation", permission=IMPORT, when=may_cancel(import_)),
    )  # fmt: skip
