"""Labels of the Jobs screens: titles and results of jobs, queues, failures, error classes. Pure."""

from collections.abc import Mapping

from app.json_types import Json
from app.ports import ADDRESS_ERROR, MESSAGE_ERROR, UNCLEAR_PREFIX, TurnName
from app.web.formatting import number, plural

TITLES = {
    "import.check": "Check import",
    "schedule.fire": "Start scheduled workflow",
    "import.run": "Run import",
    "bulk.consent": "Set consent",
    "bulk.tag": "Tag contacts",
    "bulk.delete": "Delete contacts",
    "bulk.restore": "Restore contacts",
    "workflow.audience": "Add matching contacts",
    "field.index": "Index a field",
    "workflow.migrate_enrollments": "Move enrollments to the new version",
}
UNKNOWN_JOB = "Job of another version"
QUEUES = {
    "workflow": "Workflows",
    "email": "Email",
    "sms": "SMS",
    "chat": "Chat",
    "webhook": "Webhooks",
    "import": "Imports",
    "bulk": "Bulk edits",
    "schedules": "Schedules",
}
# The tasks of workers, by how a contact meets them.
TURNS: dict[TurnName, str] = {
    "match": "Matching",
    "advance": "Advancing",
    "send": "Sending",
    "schedules": "Schedules",
    "jobs": "Background jobs",
}
FAILURES = {
    "job": "Job",
    "step": "Step",
    "email": "Email",
    "sms": "SMS",
    "chat": "Chat message",
    "webhook": "Webhook call",
}
# The counts in the results of jobs. Other keys, such as the cursor of the next batch, are not for people.
RESULTS = {
    "changed": "Changed",
    "not_restored": "Not restored",
    "moved": "Moved",
    "exited": "Ended",
    "under_way": "Not moved because a message may be going out",
    "elsewhere": "Moved by a member",
    "renewed": "Messages rewritten",
}
CHANGED = {"workflow.audience": "Added", "bulk.delete": "Deleted", "bulk.restore": "Restored"}
ERROR_CLASSES = {
    "unreachable": "Server unreachable",
    "no_answer": "No answer",
    "not_allowed": "URL not allowed",
    "not_set_up": "Not set up",
    ADDRESS_ERROR: "Recipient's address",
    MESSAGE_ERROR: "Message refused",
}


def title_of(task: str, args: Mapping[str, Json] | None = None, total: int = 0) -> str:
    """The title of a job; that of a bulk edit has the number of contacts."""
    values = args or {}
    title = TITLES.get(task, UNKNOWN_JOB)
    if not task.startswith("bulk.") or task not in TITLES or not total:
        return title
    if task == "bulk.consent":
        channel = {"email": "email", "sms": "SMS"}.get(str(values.get("channel")), "")
        return f"Set {channel} consent to {values.get('state')} for {plural(total, 'contact')}"
    verb = "Untag" if values.get("operation") == "remove" else title.partition(" ")[0]
    tag = f" with {values['tag']}" if values.get("tag") else ""
    return f"{verb} {plural(total, 'contact')}{tag}"


def queue_label(queue: str) -> str:
    """The name of a queue; "Other" for one that this version does not know."""
    return QUEUES.get(queue, "Other") if queue else ""


def result_labels(task: str, result: Mapping[str, Json] | None) -> list[str]:
    """The counts of a job's result, such as "Moved: 1,204"."""
    counts = result or {}
    labels = RESULTS | ({"changed": CHANGED[task]} if task in CHANGED else {})
    stored = ((label, counts[key]) for key, label in labels.items() if key in counts)
    return [f"{label}: {number(count)}" for label, count in stored if isinstance(count, int | None)]


def error_label(error_class: str) -> str:
    """What an error class means: "HTTP 503" for http_503, "Mail server 5.7.1" for smtp_5.7.1."""
    if error_class in ERROR_CLASSES:
        return ERROR_CLASSES[error_class]
    if error_class.startswith(UNCLEAR_PREFIX):
        return f"Mail server {error_class.removeprefix(UNCLEAR_PREFIX)}"
    source, _, code = error_class.partition("_")
    return {"http": f"HTTP {code}", "smtp": f"Mail server {code}"}.get(source, "Other error")
