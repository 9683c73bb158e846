"""The permissions of each role. Guards, buttons and the JSON `actions` read this table."""

from collections.abc import Iterable
from enum import StrEnum


class Role(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"


class Permission(StrEnum):
    VIEW = "view"
    EDIT_CONTACTS = "contacts:edit"
    IMPORT_CONTACTS = "contacts:import"
    EDIT_WORKFLOWS = "workflows:edit"
    PUBLISH_WORKFLOWS = "workflows:publish"
    MANAGE_ENROLLMENTS = "enrollments:steer"
    RUN_JOBS = "jobs:run"
    VIEW_AUDIT = "audit:view"
    MANAGE_MEMBERS = "members:manage"
    MANAGE_ACCOUNT = "account:manage"


_VIEWER = frozenset({Permission.VIEW})
_OPERATOR = _VIEWER | {
    Permission.EDIT_CONTACTS,
    Permission.IMPORT_CONTACTS,
    Permission.EDIT_WORKFLOWS,
    Permission.MANAGE_ENROLLMENTS,
    Permission.RUN_JOBS,
}
_ADMIN = _OPERATOR | {Permission.PUBLISH_WORKFLOWS, Permission.VIEW_AUDIT, Permission.MANAGE_MEMBERS}
_OWNER = frozenset(Permission)

TABLE: dict[Role, frozenset[Permission]] = {
    Role.OWNER: _OWNER,
    Role.ADMIN: _ADMIN,
    Role.OPERATOR: _OPERATOR,
    Role.VIEWER: _VIEWER,
}

LABELS: dict[Permission, str] = {
    Permission.VIEW: "View everything except the audit log",
    Permission.EDIT_CONTACTS: "Add, edit and delete contacts, tags and fields",
    Permission.IMPORT_CONTACTS: "Import contacts",
    Permission.EDIT_WORKFLOWS: "Edit workflow drafts",
    Permission.PUBLISH_WORKFLOWS: "Publish, pause and archive workflows",
    Permission.MANAGE_ENROLLMENTS: "Enroll contacts and control their enrollments",
    Permission.RUN_JOBS: "Retry and cancel jobs",
    Permission.VIEW_AUDIT: "View the audit log",
    Permission.MANAGE_MEMBERS: "Invite and remove members, change roles",
    Permission.MANAGE_ACCOUNT: "Change account settings",
}


def allowed(role: Role, scopes: Iterable[str] | None = None) -> frozenset[Permission]:
    """The permissions of a role; a token's `scopes` can only narrow them."""
    granted = TABLE[role]
    if scopes is None:
        return granted
    return granted & {Permission(scope) for scope in scopes if scope in Permission.__members__.values()}
