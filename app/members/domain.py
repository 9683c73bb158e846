"""Rules for roles and tokens: which roles a member may assign, and which scopes a token may have. Pure."""

from collections.abc import Iterable

from app.permissions import Permission, Role, allowed

DAYS = (7, 30, 90, 365)
RANK = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2, Role.OWNER: 3}


def may_give(own: Role, role: Role) -> bool:
    """Whether a member with the role `own` may assign `role`: at most their own role."""
    return RANK[role] <= RANK[own]


def role_refusal(own: Role, old: Role, new: Role | None, owners: int) -> str:
    """Why a member with the role `own` may not change another's role from `old` to `new` (None removes the
    member), as a message; "" when they may. `owners` is the number of owners in the account."""
    if not may_give(own, old) or (new is not None and not may_give(own, new)):
        return "Only an owner can change an owner's role or make someone an owner."
    if old is Role.OWNER and new is not Role.OWNER and owners < 2:
        return "An account needs an owner. Make another member an owner first."
    return ""


def scope_problem(scopes: Iterable[str], role: Role) -> str:
    """Why a token may not have these scopes, as a message; "" when it may."""
    requested, available = set(scopes), {permission.value for permission in allowed(role)}
    if not requested:
        return "Choose at least one."
    if unknown := requested - {permission.value for permission in Permission}:
        valid = ", ".join(permission.value for permission in Permission)
        return f"Unknown scope: {', '.join(sorted(unknown))}. Valid scopes are {valid}."
    if requested - available:
        return f"Your role doesn't allow: {', '.join(sorted(requested - available))}."
    return ""
