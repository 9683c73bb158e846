"""Routes of members, roles, access tokens and passwords."""

from operator import attrgetter
from uuid import UUID

from litestar import Controller, get, post
from litestar.background_tasks import BackgroundTask
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, FromQuery, JSONBody

from app.credentials import digest
from app.email_addresses import fold_email
from app.errors import NotFound
from app.members.domain import DAYS, may_give
from app.members.invitation_controllers import invitation_actions, send
from app.members.invitations import invitations, invite
from app.members.password_links import InvitedUser, send_invitation, send_reset, use_link
from app.members.schemas import (
    InvitationView,
    MemberForm,
    MemberList,
    MemberPage,
    MemberView,
    NewToken,
    PasswordForm,
    PasswordPage,
    ResetForm,
    ResetPage,
    ResetRequestForm,
    ResetRequestPage,
    RoleForm,
    RolePage,
    RoleRow,
    ScopeChoice,
    TokenForm,
    TokenList,
)
from app.members.use_cases import (
    change_password,
    change_role,
    create_token,
    invited_member,
    members,
    my_tokens,
    remove_member,
    revoke_token,
    role_of,
    users_of,
)
from app.permissions import LABELS, TABLE, Permission, Role, allowed
from app.web.actions import Action, action, actions, fields_of
from app.web.guards import count_network, may, refuse_access_tokens
from app.web.methods import deletion, partial_update
from app.web.paging import Paging, cursor_of, neighbor_links, part_of
from app.web.request import Request
from app.web.responses import Saved, Shaped
from app.work import Work

LINK_EXPIRED = "This link was already used or has expired. Request a new one on the sign-in page."
MANAGE = Permission.MANAGE_MEMBERS
MOST_TOKENS = 200  # on a page, when no limit is given
ROLE_DESCRIPTIONS = {
    Role.OWNER: "Full access, including account settings",
    Role.ADMIN: "Full access, except account settings",
    Role.OPERATOR: "Contacts, imports, workflow drafts, enrollments and jobs",
    Role.VIEWER: "Sees everything, changes nothing",
}


class MemberController(Controller):
    path = "/members"
    tags = ("members",)

    @get(page="members/index.html", guards=[may(Permission.VIEW)])
    async def index(self, work: NamedDependency[Work], paging: NamedDependency[Paging]) -> MemberList:
        """Members and pending invitations."""
        own = role_of(work)
        items, links = part_of("/members", await members(work), paging, attrgetter("user_id"))
        assignable = [role for role in Role if may_give(own, role)]
        available = [
            action(work, "invite", "Invite a member", "/members", permission=MANAGE, form=MemberForm)
        ]
        for member in items:
            available += _member_actions(work, member, assignable, f":{member.user_id}")
        pending = await invitations(work) if work.may(MANAGE) else []
        for invitation in pending:
            available += invitation_actions(work, invitation)
        choices = [(role.value, role.value.capitalize(), ROLE_DESCRIPTIONS[role]) for role in assignable]
        return MemberList([*items], *links, pending, assignable, choices, actions(*available))

    @post(form="/members", guards=[may(MANAGE)])
    async def add(
        self, request: Request, data: JSONBody[MemberForm], work: NamedDependency[Work]
    ) -> Saved[InvitationView]:
        """Invites an email address to become a member. The response doesn't reveal whether a user has the
        address. The invited user accepts through a link in an email."""
        view, secret = await invite(work, data)
        return Saved(view, see="/members", note=await send(request, work, view, secret))

    @get("/{user_id:uuid}", page="members/show.html", guards=[may(Permission.VIEW)])
    async def show(self, user_id: FromPath[UUID], work: NamedDependency[Work]) -> MemberPage:
        """One member, and the workflows and segments that refer to them."""
        return await _member_page(work, user_id)

    # Its form is in the list of members: a browser goes back there, and sees a refused form there again.
    @partial_update(
        "/{user_id:uuid}", form_path="/{user_id:uuid}/role", form="/members", guards=[may(MANAGE)]
    )
    async def change(
        self, user_id: FromPath[UUID], data: JSONBody[RoleForm], work: NamedDependency[Work]
    ) -> Saved[MemberPage]:
        """Changes the role of a member, with immediate effect."""
        await change_role(work, user_id, data.role)
        page = await _member_page(work, user_id)
        return Saved(page, see="/members", created=False, note="The role was changed.")

    @post("/{user_id:uuid}/link", form="/members", guards=[may(MANAGE)])
    async def link(
        self, user_id: FromPath[UUID], request: Request, work: NamedDependency[Work]
    ) -> Saved[None]:
        """Sends a new link to a member who has no password yet."""
        user, email = await invited_member(work, user_id)
        sent = await _invite(request, work, user, email)
        return Saved(None, see="/members", note=_link_note(user.name, sent))

    @deletion("/{user_id:uuid}", form="/members/{user_id}", guards=[may(MANAGE)])
    async def remove(self, user_id: FromPath[UUID], work: NamedDependency[Work]) -> Saved[None]:
        """Ends a membership, with immediate effect. 409 with the list of uses while a workflow or a segment
        refers to the member."""
        await remove_member(work, user_id)
        return Saved(None, see="/members", note="The member was removed.")


async def _member_page(work: Work, user_id: UUID) -> MemberPage:
    member = next((row for row in await members(work) if row.user_id == user_id), None)
    if member is None:
        raise NotFound("member")
    assignable = [role for role in Role if may_give(role_of(work), role)]
    used = await users_of(work, user_id)
    return MemberPage(
        member, used, assignable, actions(*_member_actions(work, member, assignable, used=bool(used)))
    )


def _member_actions(
    work: Work, member: MemberView, assignable: list[Role], suffix: str = "", *, used: bool = False
) -> list[Action | None]:
    """The actions on a member. `suffix` makes their names unique on a page with several members."""
    href, may_change = f"/members/{member.user_id}", may_give(role_of(work), member.role)
    options = {"role": [role.value for role in assignable]}
    return [
        action(work, f"role{suffix}", "Change role", href, method="PATCH", form_href=f"{href}/role",
               permission=MANAGE, form=RoleForm, options=options, when=may_change),
        action(work, f"link{suffix}", "Send new link", f"{href}/link", permission=MANAGE,
               when=member.invited),
        action(work, f"remove{suffix}", "Remove", href, method="DELETE", permission=MANAGE,
               when=may_change and not used),
    ]  # fmt: skip


async def _invite(request: Request, work: Work, user: InvitedUser, email: str) -> bool:
    state = request.app.state
    return await send_invitation(
        state.directory,
        state.runtime.mailer,
        state.settings.base_url,
        user,
        email,
        work.require_principal(),
    )


def _link_note(name: str, sent: bool) -> str:
    if sent:
        return f"A link to choose a password was sent to {name}."
    return f"{name} is a member, but the link couldn't be sent. Check SMTP_URL, then choose “Send new link”."


@get("/roles", page="roles/index.html", guards=[may(Permission.VIEW)], tags=["members"], sync_to_thread=False)
def roles(paging: NamedDependency[Paging]) -> RolePage:
    """The permissions of each role."""
    rows = [
        RoleRow(permission.value, LABELS[permission], [role for role in Role if permission in TABLE[role]])
        for permission in Permission
    ]
    part, links = part_of("/roles", rows, paging, lambda row: cursor_of(row.permission))
    return RolePage(list(Role), [*part], *links, [])


class TokenController(Controller):
    path = "/tokens"
    tags = ("tokens",)

    @get(page="tokens/index.html", guards=[refuse_access_tokens])
    async def index(self, work: NamedDependency[Work], paging: NamedDependency[Paging]) -> TokenList:
        """Your access tokens in this account."""
        own_permissions = allowed(role_of(work))
        items, more = await my_tokens(
            work, after=paging.after, before=paging.before, limit=paging.size(MOST_TOKENS)
        )
        links = neighbor_links("/tokens", {}, items, paging, more=more)
        scopes = [
            ScopeChoice(permission.value, LABELS[permission])
            for permission in Permission
            if permission in own_permissions
        ]
        options = {"scopes": [scope.value for scope in scopes], "days": [str(day) for day in DAYS]}
        revoke_actions = [
            action(
                work,
                f"revoke:{token.id}",
                "Revoke",
                f"/tokens/{token.id}",
                method="DELETE",
                form_href=f"/tokens/{token.id}/revocation",
                when=token.state == "live",
            )
            for token in items
        ]
        create = action(work, "create", "New token", "/tokens", form=TokenForm, options=options)
        days = [(str(day), f"{day} days") for day in DAYS]
        return TokenList(items, *links, scopes, days, actions(create, *revoke_actions))

    @post(form="/tokens", page="tokens/new_token.html", shows_secret=True, guards=[refuse_access_tokens])
    async def create(
        self, request: Request, data: JSONBody[TokenForm], work: NamedDependency[Work]
    ) -> Shaped[NewToken]:
        """Creates an access token; only this response shows it."""
        token, secret = await create_token(work, data)
        base = request.app.state.settings.base_url
        return Shaped(NewToken(token.id, token.name, secret, token.scopes, token.expires_at, base, []))

    @deletion(
        "/{token_id:uuid}",
        form_path="/{token_id:uuid}/revocation",
        form="/tokens",
        guards=[refuse_access_tokens],
    )
    async def revoke(self, token_id: FromPath[UUID], work: NamedDependency[Work]) -> Saved[None]:
        """Revokes an access token, with immediate effect."""
        name = await revoke_token(work, token_id)
        return Saved(None, see="/tokens", note=f"“{name}” was revoked.")


class PasswordController(Controller):
    tags = ("passwords",)

    @get("/password", page="password/show.html", guards=[refuse_access_tokens])
    async def page(self, work: NamedDependency[Work]) -> PasswordPage:
        """The form to change your password."""
        change = action(work, "change_password", "Change password", "/password", form=PasswordForm)
        return PasswordPage(actions(change))

    @post("/password", form="/password", guards=[refuse_access_tokens])
    async def change(
        self, request: Request, data: JSONBody[PasswordForm], work: NamedDependency[Work]
    ) -> Saved[None]:
        """Changes your password and signs you out everywhere else."""
        me = work.require_principal()
        await request.app.state.throttle.check(me.email, request.scope["state"]["network"])
        await change_password(work, data)
        return Saved(
            None, see="/password", note="Your password was changed. You are signed out everywhere else."
        )

    @get("/password-reset", page="password_reset/request.html", public=True, sync_to_thread=False)
    def ask(self, sent: FromQuery[bool] = False) -> ResetRequestPage:
        """The form to request a link."""
        request = Action(
            "request_reset", "Send link", "POST", "/password-reset", list(fields_of(ResetRequestForm))
        )
        return ResetRequestPage(sent, [request])

    @post("/password-reset", form="/password-reset", public=True, before_body=count_network)
    async def send(self, request: Request, data: JSONBody[ResetRequestForm]) -> Saved[None]:
        """Sends a link if a user has the email address. The response doesn't reveal whether one has."""
        state = request.app.state
        email = fold_email(data.email) or data.email
        await state.throttle.check(f"reset {email}", request.scope["state"]["network"])
        background = BackgroundTask(
            send_reset, state.directory, state.runtime.mailer, state.settings.base_url, data.email
        )
        return Saved(None, see="/password-reset?sent=true", background=background)

    @get("/password-reset/{token:str}", page="password_reset/new_password.html", public=True)
    async def choose(self, token: FromPath[str], request: Request) -> ResetPage:
        """The form to choose a password with a link."""
        user = await request.app.state.directory.by_reset(digest(token))
        if user is None:
            raise NotFoundException(LINK_EXPIRED)
        href = f"/password-reset/{token}"
        set_password = Action("set_password", "Save and sign in", "POST", href, list(fields_of(ResetForm)))
        return ResetPage(user.email, [set_password])

    @post(
        "/password-reset/{token:str}",
        form="/password-reset/{token}",
        public=True,
        before_body=count_network,
    )
    async def use(self, token: FromPath[str], request: Request, data: JSONBody[ResetForm]) -> Saved[None]:
        """Sets a password with a link, which works once; every session of that user ends."""
        if not await use_link(request.app.state.directory, token, data.new_password):
            raise NotFoundException(LINK_EXPIRED)
        return Saved(None, see="/sign-in", note="Your password is set. Sign in with it.")
