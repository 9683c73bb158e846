"""Invitations: a manager invites an email address (`invite`, `send_link`), and the invited user accepts
through a link in the email (`accept`).

The response to an invitation is the same whether or not a user of another account has the address, because
users are looked up only when they accept."""

from datetime import timedelta
from uuid import UUID

from app.credentials import (
    digest,
    hash_password,
    new_secret,
    password_matches,
    password_problem,
)
from app.email_addresses import normalize_email
from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.members.domain import role_refusal
from app.members.password_links import INVITATION_HOURS, send_email
from app.members.schemas import AcceptForm, InvitationView, MemberForm
from app.members.use_cases import role_of
from app.permissions import Role
from app.ports import Mailer
from app.work import Principal, Work
from db.auth_lookup import AuthLookup, OpenInvitation
from db.models import Invitation
from db.queries.invitations import save_invitation
from db.queries.members import find_member_by_email

LIFETIME = timedelta(hours=INVITATION_HOURS)


async def invitations(work: Work) -> list[InvitationView]:
    """The pending invitations, newest first."""
    return [_view(work, row) for row in await work.invitations.newest()]


async def invite(work: Work, form: MemberForm) -> tuple[InvitationView, str]:
    """Invites an email address; this replaces an earlier invitation. Returns the view and the secret of its
    link. Raises `Invalid` for an invalid address, `Forbidden` when the role is higher than the inviter's own,
    `Conflict` when the address belongs to a member of this account."""
    email = normalize_email(form.email)
    if not email:
        raise Invalid({"email": "Enter an email address, such as ana@example.com."})
    _refuse_role(work, form.role)
    if await find_member_by_email(work.session, email) is not None:
        raise Conflict(f"{email} is already a member.")
    earlier = await work.invitations.lock_of(email)
    if earlier is not None:
        _refuse_role(work, Role(earlier.role))
    secret, until = new_secret(), work.now + LIFETIME
    name, by = form.name.strip(), work.require_principal().name
    invitation_id = await save_invitation(
        work.session, email, name, form.role.value, token_hash=digest(secret), invited_by=by, now=work.now,
        until=until,
    )  # fmt: skip
    changes = {"email": (None, email), "role": (None, form.role.value)}
    work.audit("member.invited", "invitation", invitation_id, changes)
    view = InvitationView(invitation_id, email, name, form.role, by, work.now, until, expired=False)
    await work.commit()
    return view, secret


async def renew_invitation(work: Work, invitation_id: UUID) -> tuple[InvitationView, str]:
    """Gives an invitation a new link and a new expiry. Raises `NotFound`, `Forbidden`."""
    row = await _find_invitation(work, invitation_id)
    secret, until = new_secret(), work.now + LIFETIME
    row.token_hash, row.expires_at = digest(secret), until
    view = _view(work, row)
    work.audit("invitation.resent", "invitation", invitation_id, {"email": (None, row.email)})
    await work.commit()
    return view, secret


async def withdraw_invitation(work: Work, invitation_id: UUID) -> str:
    """Deletes an invitation; returns its email address. Raises `NotFound`, `Forbidden`."""
    row = await _find_invitation(work, invitation_id)
    email = row.email
    await work.invitations.delete_where(Invitation.id == invitation_id)
    changes = {"email": (email, None), "role": (row.role, None)}
    work.audit("invitation.withdrawn", "invitation", invitation_id, changes)
    await work.commit()
    return email


async def send_link(
    mailer: Mailer, base_url: str, invitation: InvitationView, secret: str, inviter: Principal
) -> bool:
    """Sends an invitation; False when it could not be sent. The text is the same for every address."""
    text = (
        f"Hello,\n\n{inviter.name} invited you to {inviter.account_name} in Switchyard as "
        f"{invitation.role.value}. Accept the invitation here:\n\n"
        f"{base_url}/invitations/{secret}\n\n"
        f"The link works once, for {INVITATION_HOURS} hours. If you weren't expecting this, ignore this "
        "email.\n"
    )
    subject = f"Invitation to {inviter.account_name}"
    return await send_email(mailer, invitation.email, subject, text, inviter.account_id)


async def accept(
    directory: AuthLookup, secret: str, invitation: OpenInvitation, form: AcceptForm, me: Principal | None
) -> bool:
    """Makes the invited user a member: one who is signed in (`me`), one who sends their password, or a new
    user who chooses a password. False when the link is no longer valid. Raises `Invalid`."""
    email, invited_user_id, chosen = invitation.email, invitation.user_id, None
    if not invitation.has_password:
        name = form.name.strip() or invitation.name or email.split("@", maxsplit=1)[0]
        if reason := await password_problem(form.password, email, name):
            raise Invalid({"password": reason})
        chosen = await hash_password(form.password)
        return await directory.accept_invitation(digest(secret), None, name, chosen) is not None
    if me is None or me.user_id != invited_user_id:
        user = await directory.user(email)
        if not await password_matches(form.password, user.password_hash if user else None):
            raise Invalid({"password": f"This isn't the password of {email}."})
    return await directory.accept_invitation(digest(secret), invited_user_id, "", chosen) is not None


async def _find_invitation(work: Work, invitation_id: UUID) -> Invitation:
    row = await work.invitations.lock(invitation_id)
    if row is None:
        raise NotFound("invitation")
    _refuse_role(work, Role(row.role))
    return row


def _refuse_role(work: Work, role: Role) -> None:
    if refusal := role_refusal(role_of(work), Role.VIEWER, role, owners=2):
        raise Forbidden(refusal)


def _view(work: Work, row: Invitation) -> InvitationView:
    return InvitationView(
        row.id, row.email, row.name, Role(row.role), row.invited_by, row.created_at, row.expires_at,
        expired=row.expires_at <= work.now,
    )  # fmt: skip
