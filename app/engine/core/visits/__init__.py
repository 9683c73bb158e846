"""What each step kind does when somebody arrives at it."""

from collections.abc import Mapping

from app.engine.core import steps
from app.engine.core.interpreter import Visit
from app.engine.core.visits import contact, flow, send, waits
from app.engine.core.visits.base import printing, skip_gone

VISITS: Mapping[type, Visit] = {
    steps.AddTag: contact.add_tag,
    steps.RemoveTag: contact.remove_tag,
    steps.UpdateField: printing(contact.update_field),
    steps.AssignOwner: contact.assign_owner,
    steps.AddNote: printing(contact.add_note),
    steps.CreateTask: printing(contact.create_task),
    steps.SetConsent: contact.set_consent,
    steps.DeleteContact: contact.delete_contact,
    steps.SendEmail: printing(send.send_email),
    steps.SendSms: printing(send.send_sms),
    steps.Notify: printing(send.notify),
    steps.Chat: printing(send.chat),
    steps.Webhook: printing(send.webhook),
    steps.Wait: waits.wait,
    steps.WaitFor: waits.wait_for,
    steps.Goal: waits.goal,
    steps.Drip: waits.drip,
    steps.Approval: printing(waits.approval),
    steps.Branch: flow.branch,
    steps.Split: flow.split,
    steps.GoTo: flow.go_to,
    steps.AddToWorkflow: flow.add_to_workflow,
    steps.RemoveFromWorkflow: flow.remove_from_workflow,
    steps.Exit: flow.leave,
}

# For a contact who was deleted: what would change or address them is skipped, the rest goes on.
VISITS_GONE: Mapping[type, Visit] = {
    **VISITS,
    **dict.fromkeys(
        (
            steps.AddTag,
            steps.RemoveTag,
            steps.UpdateField,
            steps.AssignOwner,
            steps.AddNote,
            steps.CreateTask,
            steps.SetConsent,
            steps.DeleteContact,
            steps.SendEmail,
            steps.SendSms,
            steps.AddToWorkflow,
            steps.RemoveFromWorkflow,
        ),
        skip_gone,
    ),
}
