"""What can happen to a contact: kinds of events, as triggers, waits and conditions on history name them."""

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
    "email.delivered": "E-mail delivered",
    "email.bounced": "E-mail bounced",
    "date.reached": "Date reached",
    "schedule.struck": "Schedule",
    "enrollment.ended": "Workflow ended",
    "enrollment.requested": "Enrolled by hand or by a step",
}
