"""The policy of every route, by hand. A route that is missing here fails the tests."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from litestar import Litestar

from tests.support.routes import PUBLIC, routes_of

# A permission of app/permissions.py; "signed_in" any member; "refuse_access_tokens" no access tokens.
POLICIES = """
GET    /                                                               view
GET    /account                                                        view
POST   /account                                                        account:manage
PATCH  /account                                                        account:manage
GET    /approvals                                                      view
POST   /approvals/{approval_id}/answer                                 view
GET    /audit                                                          audit:view
POST   /breakers/{workflow_id}/{step_key}/trial                        jobs:run
POST   /completions/{completion_id}/restoration                        contacts:edit
GET    /contacts                                                       view
POST   /contacts                                                       contacts:edit
POST   /contacts/bulk/consent                                          contacts:edit
POST   /contacts/bulk/deletion                                         contacts:edit
POST   /contacts/bulk/restoration                                      contacts:edit
POST   /contacts/bulk/tags                                             contacts:edit
GET    /contacts/count                                                 view
GET    /contacts/filter                                                view
POST   /contacts/filter                                                view
GET    /contacts/new                                                   contacts:edit
GET    /contacts/{contact_id}                                          view
POST   /contacts/{contact_id}                                          contacts:edit
PATCH  /contacts/{contact_id}                                          contacts:edit
POST   /contacts/{contact_id}/addresses                                contacts:edit
POST   /contacts/{contact_id}/addresses/deletion                       contacts:edit
DELETE /contacts/{contact_id}/addresses                                contacts:edit
POST   /contacts/{contact_id}/addresses/primary                        contacts:edit
POST   /contacts/{contact_id}/deletion                                 contacts:edit
DELETE /contacts/{contact_id}                                          contacts:edit
GET    /contacts/{contact_id}/edit                                     contacts:edit
GET    /contacts/{contact_id}/enrollments/new                          enrollments:steer
GET    /contacts/{contact_id}/fields/{key}                             contacts:edit
POST   /contacts/{contact_id}/fields/{key}                             contacts:edit
PATCH  /contacts/{contact_id}/fields/{key}                             contacts:edit
POST   /contacts/{contact_id}/restoration                              contacts:edit
POST   /contacts/{contact_id}/tags                                     contacts:edit
POST   /contacts/{contact_id}/tags/{tag_id}/deletion                   contacts:edit
DELETE /contacts/{contact_id}/tags/{tag_id}                            contacts:edit
GET    /contacts/{contact_id}/why                                      view
POST   /effects/{effect_id}/cancellation                               jobs:run
POST   /effects/{effect_id}/retry                                      jobs:run
POST   /effects/{effect_id}/settlement                                 enrollments:steer
GET    /enrollments                                                    view
GET    /enrollments/{enrollment_id}                                    view
POST   /enrollments/{enrollment_id}/jump                               enrollments:steer
POST   /enrollments/{enrollment_id}/pause                              enrollments:steer
POST   /enrollments/{enrollment_id}/pause/deletion                     enrollments:steer
DELETE /enrollments/{enrollment_id}/pause                              enrollments:steer
POST   /enrollments/{enrollment_id}/removal                            enrollments:steer
POST   /enrollments/{enrollment_id}/retry                              enrollments:steer
POST   /enrollments/{enrollment_id}/skip                               enrollments:steer
GET    /fields                                                         view
POST   /fields                                                         contacts:edit
GET    /fields/{field_id}                                              view
POST   /fields/{field_id}                                              contacts:edit
PATCH  /fields/{field_id}                                              contacts:edit
POST   /fields/{field_id}/deletion                                     contacts:edit
POST   /fields/{field_id}/index                                        contacts:edit
POST   /fields/{field_id}/index/deletion                               contacts:edit
DELETE /fields/{field_id}/index                                        contacts:edit
DELETE /fields/{field_id}                                              contacts:edit
GET    /imports                                                        view
POST   /imports                                                        contacts:import
GET    /imports/new                                                    contacts:import
GET    /imports/sample.csv                                             view
GET    /imports/{import_id}                                            view
GET    /imports/{import_id}/bad.csv                                    view
POST   /imports/{import_id}/cancellation                               contacts:import
POST   /imports/{import_id}/mapping                                    contacts:import
POST   /imports/{import_id}/run                                        contacts:import
GET    /jobs                                                           view
GET    /jobs/{job_id}                                                  view
POST   /jobs/{job_id}/cancellation                                     jobs:run
POST   /jobs/{job_id}/undo                                             contacts:edit
POST   /jobs/{job_id}/retry                                            jobs:run
GET    /mailbox                                                        view
GET    /mailbox/{message_id}                                           view
GET    /members                                                        view
POST   /members                                                        members:manage
POST   /members/invitations/{invitation_id}/deletion                   members:manage
DELETE /members/invitations/{invitation_id}                            members:manage
POST   /members/invitations/{invitation_id}/link                       members:manage
GET    /members/{user_id}                                              view
POST   /members/{user_id}/deletion                                     members:manage
DELETE /members/{user_id}                                              members:manage
POST   /members/{user_id}/link                                         members:manage
POST   /members/{user_id}/role                                         members:manage
PATCH  /members/{user_id}                                              members:manage
POST   /contacts/{contact_id}/notes                                    contacts:edit
POST   /contacts/{contact_id}/tasks                                    contacts:edit
GET    /contacts/{contact_id}/timeline                                 view
POST   /notes/{note_id}/deletion                                       contacts:edit
DELETE /notes/{note_id}                                                contacts:edit
GET    /notes/{note_id}                                                view
POST   /notes/{note_id}                                                contacts:edit
PATCH  /notes/{note_id}                                                contacts:edit
POST   /notes/{note_id}/restoration                                    contacts:edit
GET    /tasks                                                          view
GET    /tasks/{task_id}                                                view
POST   /tasks/{task_id}                                                contacts:edit
PATCH  /tasks/{task_id}                                                contacts:edit
POST   /tasks/{task_id}/completion                                     contacts:edit
POST   /tasks/{task_id}/completion/deletion                            contacts:edit
DELETE /tasks/{task_id}/completion                                     contacts:edit
POST   /tasks/{task_id}/deletion                                       contacts:edit
DELETE /tasks/{task_id}                                                contacts:edit
POST   /tasks/{task_id}/restoration                                    contacts:edit
GET    /notifications                                                  view
POST   /notifications/reading                                          view
POST   /notifications/{notification_id}/reading                        view
GET    /password                                                       refuse_access_tokens
POST   /password                                                       refuse_access_tokens
GET    /roles                                                          view
GET    /schema                                                         signed_in
GET    /schema/openapi.json                                            signed_in
GET    /segments                                                       view
POST   /segments                                                       contacts:edit
GET    /segments/counts                                                view
GET    /segments/new                                                   contacts:edit
GET    /segments/{segment_id}                                          view
POST   /segments/{segment_id}                                          contacts:edit
PATCH  /segments/{segment_id}                                          contacts:edit
POST   /segments/{segment_id}/deletion                                 contacts:edit
DELETE /segments/{segment_id}                                          contacts:edit
GET    /sessions                                                       refuse_access_tokens
POST   /sessions/current/account                                       refuse_access_tokens
POST   /sessions/current/deletion                                      refuse_access_tokens
DELETE /sessions/current                                               refuse_access_tokens
POST   /sessions/others/revocation                                     refuse_access_tokens
DELETE /sessions/others                                                refuse_access_tokens
POST   /sessions/{session_id}/revocation                               refuse_access_tokens
DELETE /sessions/{session_id}                                          refuse_access_tokens
GET    /tags                                                           view
POST   /tags                                                           contacts:edit
GET    /tags/{tag_id}                                                  view
POST   /tags/{tag_id}                                                  contacts:edit
PATCH  /tags/{tag_id}                                                  contacts:edit
POST   /tags/{tag_id}/deletion                                         contacts:edit
DELETE /tags/{tag_id}                                                  contacts:edit
POST   /tasks/bulk/completion                                          contacts:edit
GET    /tasks/new                                                      contacts:edit
POST   /tasks/{task_id}/snooze                                         contacts:edit
GET    /tokens                                                         refuse_access_tokens
POST   /tokens                                                         refuse_access_tokens
POST   /tokens/{token_id}/revocation                                   refuse_access_tokens
DELETE /tokens/{token_id}                                              refuse_access_tokens
GET    /workflows                                                      view
POST   /workflows                                                      workflows:edit
GET    /workflows/new                                                  workflows:edit
GET    /workflows/{workflow_id}                                        view
POST   /workflows/{workflow_id}                                        workflows:edit
PATCH  /workflows/{workflow_id}                                        workflows:edit
POST   /workflows/{workflow_id}/archival                               workflows:publish
GET    /workflows/{workflow_id}/counts                                 view
GET    /workflows/{workflow_id}/enrollments                            view
POST   /workflows/{workflow_id}/enrollments                            enrollments:steer
GET    /workflows/{workflow_id}/enrollments/new                        enrollments:steer
GET    /workflows/{workflow_id}/entry                                  view
POST   /workflows/{workflow_id}/entry                                  workflows:edit
PATCH  /workflows/{workflow_id}/entry                                  workflows:edit
GET    /workflows/{workflow_id}/hooks                                  view
POST   /workflows/{workflow_id}/hooks                                  workflows:publish
POST   /workflows/{workflow_id}/hold                                   workflows:publish
POST   /workflows/{workflow_id}/hold/deletion                          workflows:publish
DELETE /workflows/{workflow_id}/hold                                   workflows:publish
POST   /workflows/{workflow_id}/pause                                  workflows:publish
POST   /workflows/{workflow_id}/pause/deletion                         workflows:publish
DELETE /workflows/{workflow_id}/pause                                  workflows:publish
GET    /workflows/{workflow_id}/publication                            view
POST   /workflows/{workflow_id}/publication                            workflows:publish
POST   /workflows/{workflow_id}/redo                                   workflows:edit
GET    /workflows/{workflow_id}/settings                               view
POST   /workflows/{workflow_id}/settings                               workflows:edit
PATCH  /workflows/{workflow_id}/settings                               workflows:edit
POST   /workflows/{workflow_id}/steps                                  workflows:edit
GET    /workflows/{workflow_id}/steps/new                              workflows:edit
GET    /workflows/{workflow_id}/steps/{key}                            view
POST   /workflows/{workflow_id}/steps/{key}                            workflows:edit
PATCH  /workflows/{workflow_id}/steps/{key}                            workflows:edit
POST   /workflows/{workflow_id}/steps/{key}/deletion                   workflows:edit
DELETE /workflows/{workflow_id}/steps/{key}                            workflows:edit
POST   /workflows/{workflow_id}/steps/{key}/position                   workflows:edit
POST   /workflows/{workflow_id}/triggers                               workflows:edit
GET    /workflows/{workflow_id}/triggers/new                           workflows:edit
GET    /workflows/{workflow_id}/triggers/{key}                         view
POST   /workflows/{workflow_id}/triggers/{key}                         workflows:edit
PATCH  /workflows/{workflow_id}/triggers/{key}                         workflows:edit
POST   /workflows/{workflow_id}/triggers/{key}/deletion                workflows:edit
DELETE /workflows/{workflow_id}/triggers/{key}                         workflows:edit
POST   /workflows/{workflow_id}/undo                                   workflows:edit
GET    /workflows/{workflow_id}/versions                               view
GET    /workflows/{workflow_id}/versions/{number}                      view
POST   /workflows/{workflow_id}/versions/{number}/restoration          workflows:edit
"""

KEYS = {"steps": "s1", "triggers": "t1", "fields": "city"}

# Answers of one shape only, by what they are.
NOT_JSON = {"/imports/sample.csv", "/imports/{import_id}/bad.csv"}

# The smallest body that passes validation, for routes that are not content with an empty one.
WORKFLOW = "/workflows/{workflow_id}"
REV = {"rev": 1}
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/members/{user_id}/role"): {"role": "viewer"},
    ("PATCH", "/members/{user_id}"): {"role": "viewer"},
    ("POST", "/approvals/{approval_id}/answer"): {"option": "yes"},
    ("POST", "/effects/{effect_id}/settlement"): {"sent": True},
    ("POST", "/enrollments/{enrollment_id}/jump"): {"step": "s1"},
    ("POST", "/contacts/{contact_id}/addresses"): {"kind": "phone", "address": "taken"},
    ("POST", "/contacts/{contact_id}/addresses/deletion"): {"kind": "phone", "address": "taken"},
    ("POST", "/contacts/{contact_id}/addresses/primary"): {"kind": "phone", "address": "taken"},
    ("POST", "/contacts/{contact_id}/tags"): {"name": "taken"},
    ("POST", "/contacts/{contact_id}/notes"): {"body": "taken"},
    ("POST", "/contacts/{contact_id}/tasks"): {"title": "taken"},
    ("POST", "/notes/{note_id}"): {"body": "taken"},
    ("POST", "/fields/{field_id}"): {"label": "Taken"},
    ("POST", "/segments/{segment_id}"): {"name": "Taken"},
    ("POST", "/tags/{tag_id}"): {"name": "taken"},
    ("POST", WORKFLOW): {"name": "Taken"},
    ("POST", f"{WORKFLOW}/enrollments"): {"contact_ids": ["01a20b58-0000-7000-8000-000000000000"]},
    ("POST", f"{WORKFLOW}/entry"): REV,
    ("POST", f"{WORKFLOW}/hooks"): {"trigger": "t1"},
    ("POST", f"{WORKFLOW}/publication"): REV,
    ("POST", f"{WORKFLOW}/redo"): REV,
    ("POST", f"{WORKFLOW}/undo"): REV,
    ("POST", f"{WORKFLOW}/settings"): REV,
    ("POST", f"{WORKFLOW}/steps"): REV | {"kind": "exit"},
    ("POST", f"{WORKFLOW}/steps/{{key}}"): REV | {"config": {"kind": "exit"}},
    ("POST", f"{WORKFLOW}/steps/{{key}}/deletion"): REV,
    ("POST", f"{WORKFLOW}/steps/{{key}}/position"): REV | {"dir": "up"},
    ("POST", f"{WORKFLOW}/triggers"): REV | {"kind": "manual"},
    ("POST", f"{WORKFLOW}/triggers/{{key}}"): REV | {"config": {"kind": "manual"}},
    ("POST", f"{WORKFLOW}/triggers/{{key}}/deletion"): REV,
    ("POST", f"{WORKFLOW}/versions/{{number}}/restoration"): REV,
}


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    policy: str

    @property
    def has_ids(self) -> bool:
        return "{" in self.path

    def at(self, ids: dict[str, Any]) -> str:
        """The path with ids put in; `{key}` says what it is a key of by the part before it. Raises KeyError
        for a parameter that the test does not know."""
        parts: list[str] = []
        for part in self.path.strip("/").split("/"):
            if part == "{key}":
                parts.append(KEYS[parts[-1]])
            else:
                parts.append(str(ids[part[1:-1]]) if part.startswith("{") else part)
        return "/" + "/".join(parts)

    @property
    def body(self) -> dict[str, Any]:
        """The fields to send; those of `POST` where a script sends the same to another method."""
        form_path = f"{self.path}/deletion" if self.method == "DELETE" else self.path
        return BODIES.get((self.method, self.path)) or BODIES.get(("POST", form_path), {})

    @property
    def form(self) -> dict[str, Any]:
        """The body as a form sends it: nested names with dots."""
        return dict(flat(self.body))

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def flat(body: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in body.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def table() -> dict[tuple[str, str], str]:
    policies = {}
    for line in POLICIES.strip().splitlines():
        method, path, policy = line.split()
        policies[method, path] = policy
    return policies


def live(app: Litestar) -> dict[tuple[str, str], str]:
    """The policies as the routes have them: what their guard asks for."""
    policies = {}
    for method, path, handler in routes_of(app):
        if (method, path) in PUBLIC:
            continue
        guards = handler.resolve_guards()
        permissions: list[str] = []
        for guard in guards:
            permission = getattr(guard, "permission", None)
            permissions.append(permission.value if permission else getattr(guard, "__name__", "?"))
        policies[method, path] = "+".join(permissions) or "nothing"
    return policies


def guarded() -> Iterator[Route]:
    for (method, path), policy in table().items():
        yield Route(method, path, policy)
