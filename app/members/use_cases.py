"""Commands on members, roles, passwords and access tokens. Each loads, decides, writes, audits and
commits."""

from datetime import timedelta
from uuid import UUID

import msgspec

from app.credentials import (
    ACCESS_PREFIX,
    digest,
    hash_password,
    new_secret,
    password_matches,
    password_problem,
)
from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.filters.references import Use, still_used_message
from app.members.domain import role_refusal, scope_problem
from app.members.schemas import MemberView, PasswordForm, TokenForm, TokenView
from app.permissions import Role
from app.work import Work
from db.auth_lookup import InvitedUser
from db.ids import uuid7
from db.models import AccessToken, Membership
from db.queries.members import find_member, find_password_hash, list_members, lock_owners, set_password_hash
from db.queries.references import find_uses, lock_for_deletion
from db.queries.sessions import end_user_sessions
from db.queries.tokens import revoke_live_token

PREFIX = 8


async def members(work: Work) -> list[MemberView]:
    """The members of the account, sorted by name."""
    me = work.principal.user_id if work.principal else None
    rows = await list_members(work.session)
    return [
        MemberView(
            row.user_id,
            row.name,
            row.email,
            Role(row.role),
            row.joined_at,
            row.last_seen_at,
            row.invited,
            row.user_id == me,
        )
        for row in rows
    ]


async def change_role(work: Work, user_id: UUID, role: Role) -> None:
    """Changes the role of a member. Raises `NotFound`, `Forbidden` (a role higher than the caller's own),
    `Conflict` (the last owner)."""
    membership = await _changeable(work, user_id, role)
    old = membership.role
    membership.role, membership.updated_at = role.value, work.now
    work.audit("member.role_changed", "member", user_id, {"role": (old, role.value)})
    await work.commit()


async def remove_member(work: Work, user_id: UUID) -> None:
    """Ends a membership; the member's sessions and tokens no longer open this account. Raises as
    `change_role`, and `Conflict` with the list of uses while a workflow or a segment refers to the member."""
    membership = await _changeable(work, user_id, None)
    await lock_for_deletion(work.session)
    used = await users_of(work, user_id)
    if used:
        member = await find_member(work.session, user_id)
        name = member.name if member else "This member"
        raise Conflict(still_used_message(name, used, "remove them"), current=msgspec.to_builtins(used))
    await work.members.delete_where(Membership.user_id == user_id)
    work.audit("member.removed", "member", user_id, {"role": (membership.role, None)})
    await work.commit()


async def users_of(work: Work, user_id: UUID) -> list[Use]:
    """The workflows and segments that refer to a member."""
    return await find_uses(work.session, "user", str(user_id))


async def _changeable(work: Work, user_id: UUID, new: Role | None) -> Membership:
    """The locked membership, whose role may become `new` (None removes the member)."""
    owners = await lock_owners(work.session)
    membership = await work.members.lock(user_id)
    if membership is None:
        raise NotFound("member")
    old = Role(membership.role)
    refusal = role_refusal(role_of(work), old, new, owners)
    if refusal and old is Role.OWNER and owners < 2 and role_of(work) is Role.OWNER:
        raise Conflict(refusal)
    if refusal:
        raise Forbidden(refusal)
    return membership


async def invited_member(work: Work, user_id: UUID) -> tuple[InvitedUser, str]:
    """A member who has no password yet, and their email; audits that a link is sent. Raises `NotFound`,
    `Conflict`."""
    member = await find_member(work.session, user_id)
    if member is None:
        raise NotFound("member")
    if member.has_password:
        raise Conflict("This member already has a password and can reset it on the sign-in page.")
    work.audit("member.link_sent", "member", user_id)
    await work.commit()
    return InvitedUser(user_id, member.name, has_password=False), member.email


async def change_password(work: Work, form: PasswordForm) -> None:
    """Changes the caller's password and ends all their other sessions. Raises `Invalid`."""
    me = work.require_principal()
    if not await password_matches(form.current_password, await find_password_hash(work.session, me.user_id)):
        raise Invalid({"current_password": "This isn't your current password."})
    if reason := await password_problem(form.new_password, me.email, me.name):
        raise Invalid({"new_password": reason})
    new_hash = await hash_password(form.new_password)
    await set_password_hash(work.session, me.user_id, new_hash, work.now)
    ended = await end_user_sessions(work.session, me.user_id, me.session_id, work.now)
    work.audit("member.password_changed", "member", me.user_id, {"sessions_ended": (None, ended)})
    await work.commit()


async def my_tokens(
    work: Work, *, after: UUID | None, before: UUID | None, limit: int
) -> tuple[list[TokenView], bool]:
    """At most `limit` of the caller's access tokens in this account, newest first, older than `after` or
    newer than `before`, and whether there are more in that direction."""
    me = work.require_principal().user_id
    rows, more = await work.tokens.page(me, after=after, before=before, limit=limit)
    return [_token_view(work, row) for row in rows], more


def _token_view(work: Work, row: AccessToken) -> TokenView:
    return TokenView(
        row.id,
        row.name,
        row.token_prefix,
        row.scopes,
        row.created_at,
        row.expires_at,
        row.last_used_at,
        "revoked" if row.revoked_at else "expired" if row.expires_at <= work.now else "live",
    )


async def create_token(work: Work, form: TokenForm) -> tuple[AccessToken, str]:
    """Creates an access token; returns it and its secret, of which only the hash is stored. Raises
    `Invalid`."""
    me = work.require_principal()
    if reason := scope_problem(form.scopes, me.role):
        raise Invalid({"scopes": reason})
    secret, scopes = new_secret(ACCESS_PREFIX), sorted(set(form.scopes))
    token = AccessToken(
        id=uuid7(),
        user_id=me.user_id,
        name=form.name.strip(),
        token_hash=digest(secret),
        token_prefix=secret[:PREFIX],
        scopes=scopes,
        expires_at=work.now + timedelta(days=form.days),
    )
    await work.tokens.add(token)
    work.audit("token.created", "token", token.id, {"name": (None, form.name), "scopes": (None, scopes)})
    await work.commit()
    return token, secret


async def revoke_token(work: Work, token_id: UUID) -> str:
    """Revokes one of the caller's access tokens; returns its name. Raises `NotFound`."""
    me = work.require_principal()
    name = await revoke_live_token(work.session, me.user_id, token_id, work.now)
    if name is None:
        raise NotFound("token")
    work.audit("token.revoked", "token", token_id, {"name": (name, None)})
    await work.commit()
    return name


def role_of(work: Work) -> Role:
    """The role of the actor; a command on the server has the rights of an owner."""
    return work.principal.role if work.principal else Role.OWNER
