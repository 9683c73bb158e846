"""Routes of invitations: managers resend and withdraw them, invited users accept them."""

from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, JSONBody

from app.credentials import digest
from app.members.domain import may_give
from app.members.invitations import accept, renew_invitation, send_link, withdraw_invitation
from app.members.schemas import AcceptForm, InvitationPage, InvitationView
from app.members.use_cases import role_of
from app.permissions import Permission
from app.web.actions import Action, action, fields_of
from app.web.guards import count_network, may
from app.web.methods import deletion
from app.web.request import Request
from app.web.responses import Saved
from app.web.tokens import BadToken
from app.work import Principal, Work
from db.auth_lookup import OpenInvitation

INVITATION_EXPIRED = "This invitation was accepted or withdrawn, or it has expired. Ask for a new one."
MANAGE = Permission.MANAGE_MEMBERS


class InvitationController(Controller):
    path = "/members/invitations/{invitation_id:uuid}"
    tags = ("members",)

    @post("/link", form="/members", guards=[may(MANAGE)])
    async def renew(
        self, invitation_id: FromPath[UUID], request: Request, work: NamedDependency[Work]
    ) -> Saved[None]:
        """Sends an invitation again with a new link; the earlier link stops working."""
        view, secret = await renew_invitation(work, invitation_id)
        return Saved(None, see="/members", note=await send(request, work, view, secret))

    @deletion(form="/members", guards=[may(MANAGE)])
    async def withdraw(self, invitation_id: FromPath[UUID], work: NamedDependency[Work]) -> Saved[None]:
        """Withdraws an invitation; its link stops working."""
        email = await withdraw_invitation(work, invitation_id)
        return Saved(None, see="/members", note=f"The invitation for {email} was withdrawn.")


class AcceptController(Controller):
    path = "/invitations/{token:str}"
    tags = ("members",)

    @get(page="invitations/show.html", public=True)
    async def show(self, token: FromPath[str], request: Request) -> InvitationPage:
        """An invitation, and the form that accepts it."""
        invitation, me = await _open(request, token), await _signed_in(request)
        own = me is not None and me.user_id == invitation.user_id
        needs = "" if own else "password" if invitation.has_password else "new_password"
        names = {"": (), "password": ("password",), "new_password": ("name", "password")}[needs]
        fields = [field for field in fields_of(AcceptForm) if field.name in names]
        return InvitationPage(
            account_name=invitation.account_name,
            email=invitation.email,
            name=invitation.name,
            role=invitation.role,
            invited_by=invitation.invited_by,
            expires_at=invitation.expires_at,
            needs=needs,
            other=me.email if me and not own else "",
            actions=[Action("accept", "Accept", "POST", f"/invitations/{token}", fields)],
        )

    @post(form="/invitations/{token}", public=True, before_body=count_network)
    async def accept(self, token: FromPath[str], request: Request, data: JSONBody[AcceptForm]) -> Saved[None]:
        """Accepts an invitation. The invited user is signed in or sends their `password`; a new user sends a
        `name` and chooses a `password`."""
        invitation, me, state = await _open(request, token), await _signed_in(request), request.app.state
        own = me is not None and me.user_id == invitation.user_id
        if invitation.has_password and not own:
            await state.throttle.check(invitation.email, request.scope["state"]["network"])
        if not await accept(state.directory, token, invitation, data, me):
            raise NotFoundException(INVITATION_EXPIRED)
        note = f"You are now a member of {invitation.account_name}."
        if own:
            return Saved(None, see="/", note=f"{note} Switch to it in the account menu.")
        return Saved(None, see="/sign-in", note=f"{note} Sign in.")


async def _open(request: Request, token: str) -> OpenInvitation:
    invitation: OpenInvitation | None = await request.app.state.directory.by_invitation(digest(token))
    if invitation is None:
        raise NotFoundException(INVITATION_EXPIRED)
    return invitation


async def _signed_in(request: Request) -> Principal | None:
    """The user of a session; an access token cannot accept an invitation."""
    try:
        me: Principal = await request.app.state.identity.principal(request.scope)
    except BadToken:
        return None
    return me if me.session_id is not None else None


async def send(request: Request, work: Work, view: InvitationView, secret: str) -> str:
    """Sends an invitation; returns a message that says whether it was sent."""
    state = request.app.state
    sent = await send_link(
        state.runtime.mailer, state.settings.base_url, view, secret, work.require_principal()
    )
    if sent:
        return f"An invitation was sent to {view.email}."
    return f"The invitation for {view.email} couldn't be sent. Check SMTP_URL, then choose “Send again”."


def invitation_actions(work: Work, invitation: InvitationView) -> list[Action | None]:
    """The actions of a manager on an invitation in the list of members."""
    href, may_manage = f"/members/invitations/{invitation.id}", may_give(role_of(work), invitation.role)
    return [
        action(
            work,
            f"send_again:{invitation.id}",
            "Send again",
            f"{href}/link",
            permission=MANAGE,
            when=may_manage,
        ),
        action(
            work,
            f"withdraw:{invitation.id}",
            "Withdraw",
            href,
            method="DELETE",
            permission=MANAGE,
            when=may_manage,
        ),
    ]
