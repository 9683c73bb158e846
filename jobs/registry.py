"""The handler of each kind of background job. A handler does one batch in one transaction and returns whether
the job is finished."""

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import cast

from app.work import Work
from db.models import Job

# Called again and again until it returns True. It must be safe to call again after the worker was killed.
Handler = Callable[[Work, Job], Awaitable[bool]]


def lazily(module: str, name: str) -> Handler:
    """The function of that name, imported when it is first needed."""

    async def call(work: Work, job: Job) -> bool:
        handler = cast("Handler", getattr(import_module(module), name))
        return await handler(work, job)

    return call


HANDLERS: dict[str, Handler] = {
    "bulk.consent": lazily("app.contacts.bulk", "run_bulk_consent"),
    "bulk.delete": lazily("app.contacts.bulk", "run_bulk_delete"),
    "bulk.restore": lazily("app.contacts.bulk", "run_bulk_restore"),
    "bulk.tag": lazily("app.contacts.bulk", "run_bulk_tag"),
    "field.index": lazily("app.fields.indexing", "run_field_index"),
    "schedule.fire": lazily("app.engine.schedules.fire_schedule", "fire_occurrence"),
    "import.check": lazily("app.imports.check_job", "check_import"),
    "import.run": lazily("app.imports.run_job", "run_import"),
    "workflow.audience": lazily("app.workflows.use_cases.audience", "run_audience"),
    "workflow.migrate_enrollments": lazily("app.workflows.use_cases.version_migration", "run_move"),
}
