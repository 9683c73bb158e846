"""Links to choose a password: single use, stored as a hash, sent by email only.

Reading the mailbox proves that a user owns the address. The inviter never sees the link, or they could claim
an address that isn't theirs."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from app.credentials import digest, hash_password, new_secret, password_problem
from app.email_addresses import fold_email
from app.errors import Invalid
from app.ports import Email, Mailer, Sent
from app.work import Principal
from db.auth_lookup import AuthLookup, InvitedUser

RESET_HOURS, INVITATION_HOURS = 1, 72
log = structlog.get_logger("switchyard.members")


async def new_link(directory: AuthLookup, base_url: str, user_id: UUID, hours: int) -> str:
    """Creates a link with which a user chooses a password; earlier links stop working. Returns its URL."""
    secret = new_secret()
    await directory.add_reset(user_id, digest(secret), datetime.now(UTC) + timedelta(hours=hours))
    return f"{base_url}/password-reset/{secret}"


async def send_invitation(
    directory: AuthLookup, mailer: Mailer, base_url: str, member: InvitedUser, email: str, inviter: Principal
) -> bool:
    """Sends a new member their link; False when it could not be sent."""
    name, user_id, account = member.name, member.user_id, inviter.account_name
    link = await new_link(directory, base_url, user_id, INVITATION_HOURS)
    text = (
        f"Hello {name},\n\nYou are now a member of {account} in Switchyard. Choose a password here:\n\n"
        f"{link}\n\n"
        f"The link works once, for {INVITATION_HOURS} hours.\n"
    )
    return await send_email(mailer, email, f"You're now a member of {account}", text, inviter.account_id)


async def send_reset(directory: AuthLookup, mailer: Mailer, base_url: str, address: str) -> None:
    """Sends a link if a user has the email address. It runs after the response, so that the response time
    doesn't reveal whether one has."""
    email = fold_email(address)
    user = await directory.user(email) if email else None
    if user is None:
        return
    link = await new_link(directory, base_url, user.user_id, RESET_HOURS)
    text = (
        f"Hello {user.name},\n\nSomeone requested a new password for this email address. If it was you, "
        f"choose one here:\n\n{link}\n\nThe link works once and for one hour. If it wasn't you, ignore "
        "this email.\n"
    )
    account = user.memberships[0].account_id if user.memberships else None
    await send_email(mailer, user.email, "Choose a new password", text, account)


async def use_link(directory: AuthLookup, secret: str, password: str) -> bool:
    """Sets a password with a link; every session of the user ends. False when the link is no longer valid.
    Raises `Invalid`."""
    user = await directory.by_reset(digest(secret))
    if user is None:
        return False
    if reason := await password_problem(password, user.email, user.name):
        raise Invalid({"new_password": reason})
    return await directory.use_reset(digest(secret), await hash_password(password)) is not None


async def send_email(mailer: Mailer, to: str, subject: str, text: str, account_id: UUID | None) -> bool:
    """Sends an email with a link, under a new idempotency key; False when it could not be sent."""
    email = Email(
        recipient=to, subject=subject, body=text, key=new_secret("link-"), account_id=str(account_id or "")
    )
    outcome = await mailer.send(email)
    if not isinstance(outcome, Sent):
        log.warning("a link could not be sent", subject=subject, error=outcome.error)
    return isinstance(outcome, Sent)


__all__ = [
    "INVITATION_HOURS", "InvitedUser", "new_link", "send_email", "send_invitation", "send_reset", "use_link",
]  # fmt: skip
