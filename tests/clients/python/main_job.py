"""The main job with a client made by openapi-python-client: import contacts, publish a workflow, tag 50
contacts, follow them to the goal. Usage: python main_job.py <base> <email> <password>"""

import io
import sys
import time
import uuid
from collections.abc import Callable
from typing import TypeVar

from switchyard_client import AuthenticatedClient, Client
from switchyard_client.api.contacts import get_contacts, patch_contact, post_contacts_bulk_tags
from switchyard_client.api.imports import get_import, post_import_mapping, post_import_run, post_imports
from switchyard_client.api.sessions import post_sessions
from switchyard_client.api.tags import post_tags
from switchyard_client.api.workflows import (
    get_workflow,
    get_workflow_publication,
    post_workflow_publication,
    post_workflow_steps,
    post_workflow_triggers,
    post_workflows,
)
from switchyard_client.models import (
    AddTagInput,
    AddTriggerForm,
    AddTriggerFormKind,
    BranchInput,
    Builder,
    BulkTagForm,
    ContactForm,
    Count,
    GoalInput,
    GoalInputOnUnmet,
    ImportPage,
    InsertForm,
    InsertFormKind,
    LaneInput,
    MappingForm,
    Op,
    Predicate,
    Problem,
    PublishForm,
    SendEmailInput,
    SignInForm,
    TagAddedInput,
    TagForm,
    Unit,
    UploadForm,
    WaitInput,
    WorkflowForm,
)
from switchyard_client.types import File

CONTACTS = 50
PATIENCE = 60.0  # seconds that a worker may take
RUN = uuid.uuid4().hex[:8]
STATES = ("CA", "NY", "TX", "LA", "MI")
Answer = TypeVar("Answer")
Page = TypeVar("Page")


def ok(answer: Answer | Problem | None) -> Answer:
    """The data of an answer; exits with a problem."""
    if answer is None or isinstance(answer, Problem):
        sys.exit(f"refused: {answer}")
    return answer


def ensure(condition: bool, failure: str) -> None:
    if not condition:
        sys.exit(failure)


def until(what: str, get: Callable[[], Page], done: Callable[[Page], bool]) -> Page:
    """Get a page again and again until `done(page)`."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        page = get()
        if done(page):
            print(what)
            return page
        time.sleep(0.3)
    sys.exit(f"“{what}” did not happen")


def sign_in(base: str, email: str, password: str) -> AuthenticatedClient:
    body = SignInForm(email=email, password=password)
    signed_in = ok(post_sessions.sync(client=Client(base_url=base), body=body))
    return AuthenticatedClient(base_url=base, token=signed_in.token, raise_on_unexpected_status=True)


def import_contacts(client: AuthenticatedClient) -> None:
    rows = [f"First{n},p{n}@{RUN}.example.com,{STATES[n % 5]}" for n in range(200)]
    content = "\n".join(["first_name,email,state", *rows]).encode()
    file = File(payload=io.BytesIO(content), file_name="people.csv", mime_type="text/csv")
    import_id = ok(post_imports.sync(client=client, body=UploadForm(file=file))).item.id

    def status() -> ImportPage:
        return ok(get_import.sync(import_id, client=client))

    ok(post_import_mapping.sync(import_id, client=client, body=MappingForm()))
    checked = until("checked", status, lambda page: page.item.status == "ready").item
    ensure(checked.new == len(rows) and checked.bad == 0, f"not every row is new: {checked}")
    ok(post_import_run.sync(import_id, client=client))
    until("imported", status, lambda page: page.item.status == "done")


def build_workflow(client: AuthenticatedClient) -> uuid.UUID:
    workflow = ok(post_workflows.sync(client=client, body=WorkflowForm(name=f"Welcome {RUN}"))).workflow
    california = Predicate(type_="predicate", field="state", op=Op.IS, value="CA")
    moved = Predicate(type_="predicate", field="city", op=Op.IS, value=f"Goal {RUN}")
    steps = [
        (
            "main",
            SendEmailInput(kind="send_email", subject=f"Welcome {RUN}", body="Hi {{ contact.first_name }}."),
        ),
        ("main", WaitInput(kind="wait", amount=1, unit=Unit.SECONDS)),
        ("main", BranchInput(kind="branch", branches=[LaneInput(name="California", filter_=california)])),
        ("lane", AddTagInput(kind="add_tag", tag=f"west-{RUN}")),
        (
            "main",
            GoalInput(kind="goal", name="Moved", filter_=moved, on_unmet=GoalInputOnUnmet.WAIT, amount=30),
        ),
    ]
    trigger = AddTriggerForm(
        kind=AddTriggerFormKind.TAG_ADDED,
        config=TagAddedInput(kind="tag_added", tag=f"vip-{RUN}"),
        rev=workflow.rev,
    )
    page = ok(post_workflow_triggers.sync(workflow.id, client=client, body=trigger))
    for place, config in steps:
        lanes = [lane.list_id for step in page.steps for lane in step.lanes]
        step = InsertForm(
            kind=InsertFormKind(config.kind),
            list_=lanes[0] if place == "lane" else place,
            config=config,
            rev=page.workflow.rev,
        )
        page = ok(post_workflow_steps.sync(workflow.id, client=client, body=step))
    plan = ok(get_workflow_publication.sync(workflow.id, client=client))
    ensure(not plan.problems, f"the draft cannot be published: {plan.problems}")
    body = PublishForm(rev=plan.workflow.rev)
    published = ok(post_workflow_publication.sync(workflow.id, client=client, body=body))
    ensure(published.version == 1, f"it is version {published.version}")
    print("published")
    workflow_id: uuid.UUID = workflow.id
    return workflow_id


def follow_contacts(client: AuthenticatedClient, workflow_id: uuid.UUID) -> None:
    listed = ok(get_contacts.sync(client=client, sort="-created_at", limit=CONTACTS, f=["email:not_empty"]))
    ids = [contact.id for contact in listed.items]
    ensure(len(ids) == CONTACTS, f"the list has {len(ids)} contacts")
    ok(post_contacts_bulk_tags.sync(client=client, body=BulkTagForm(ids=ids, tag=f"vip-{RUN}")))

    def workflow() -> Builder:
        return ok(get_workflow.sync(workflow_id, client=client))

    def count(page: Builder, kind: str) -> Count:
        return next(step.count for step in page.steps if step.kind == kind)

    until("all have the email", workflow, lambda page: count(page, "send_email").completed == CONTACTS)
    until("all wait for the goal", workflow, lambda page: count(page, "goal").current == CONTACTS)
    for contact_id in ids:
        ok(patch_contact.sync(contact_id, client=client, body=ContactForm(city=f"Goal {RUN}")))
    until("all completed", workflow, lambda page: page.totals.completed == CONTACTS)


def expect_problem(client: AuthenticatedClient) -> None:
    refused = post_tags.sync(client=client, body=TagForm(name=""))
    ensure(isinstance(refused, Problem) and refused.status == 422, f"an empty name gave {refused}")
    ensure("name" in refused.errors.additional_properties, f"{refused} does not name the field")


def main() -> None:
    client = sign_in(*sys.argv[1:4])
    import_contacts(client)
    follow_contacts(client, build_workflow(client))
    expect_problem(client)
    print("everything worked")


if __name__ == "__main__":
    main()
