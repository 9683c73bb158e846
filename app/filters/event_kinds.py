"""Event kinds and their labels, for event waits and conditions on history."""

# Names that versions, drafts, filters and links of earlier releases still contain. They are read as today's.
FORMER_KINDS = {"schedule.struck": "schedule.fired"}

EVENT_KINDS: dict[str, str] = {
    "contact.created": "Contact created",
    "contact.updated": "Contact updated",
    "contact.deleted": "Contact deleted",
    "tag.added": "Tag added",
    "tag.removed": "Tag removed",
    "note.added": "Note added",
    "task.added": "Task added",
    "task.completed": "Task completed",
    "task.overdue": "Task overdue",
    "segment.entered": "Segment entered",
    "segment.left": "Segment left",
    "webhook.received": "Webhook received",
    "email.delivered": "Email delivered",
    "email.bounced": "Email bounced",
    "date.reached": "Date reached",
    "schedule.fired": "Schedule",
    "enrollment.ended": "Workflow ended",
    "enrollment.requested": "Enrolled manually or by a step",
}
