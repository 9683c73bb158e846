"""Titles of durable jobs."""

from collections.abc import Mapping
from typing import Any

from app.web.formatting import plural

TITLES = {
    "import.check": "Check import",
    "schedule.fire": "Start scheduled workflow",
    "import.run": "Run import",
    "bulk.consent": "Set consent",
    "bulk.tag": "Tag contacts",
    "bulk.delete": "Delete contacts",
    "bulk.restore": "Restore contacts",
    "workflow.audience": "Add matching contacts",
    "workflow.migrate_enrollments": "Move enrollments to the new version",
}


def title_of(task: str, args: Mapping[str, Any] | None = None, total: int = 0) -> str:
    """The title of a job; that of a bulk edit has the number of contacts."""
    values = args or {}
    title = TITLES.get(task, task.replace(".", " ").replace("_", " ").capitalize())
    if not task.startswith("bulk.") or not total:
        return title
    if task == "bulk.consent":
        channel = {"email": "email", "sms": "SMS"}.get(str(values.get("channel")), "")
        return f"Set {channel} consent to {values.get('state')} for {plural(total, 'contact')}"
    verb = "Untag" if values.get("operation") == "remove" else title.partition(" ")[0]
    tag = f" with {values['tag']}" if values.get("tag") else ""
    return f"{verb} {plural(total, 'contact')}{tag}"
