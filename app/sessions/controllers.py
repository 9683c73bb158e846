"""Routes for signing in and out, switching accounts, and managing your own sessions."""

from operator import attrgetter
from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotAuthorizedException
from litestar.params import FromPath, JSONBody, QueryParameter

from app.credentials import password_matches
from app.email_addresses import fold_email
from app.errors import NotFound
from app.sessions.schemas import SessionList, SignedIn, SignInForm, SignInPage, SwitchForm
from app.sessions.use_cases import (
    end_other_sessions,
    end_session,
    my_sessions,
    principal_of,
    start_session,
    switch_account,
)
from app.web.actions import Action, action, actions, fields_of
from app.web.auth import local_path
from app.web.content_negotiation import header
from app.web.cookies import set_cookies
from app.web.formatting import plural
from app.web.guards import count_network, refuse_access_tokens
from app.web.methods import deletion
from app.web.paging import Paging, part_of
from app.web.request import Request
from app.web.request_work import open_request_work
from app.web.responses import Saved
from app.web.tokens import LIFETIME_SECONDS
from app.work import Principal, Work

WRONG = "The email or the password is wrong."


class SignInController(Controller):
    tags = ("sessions",)

    @get("/sign-in", page="sign_in/show.html", public=True, sync_to_thread=False)
    def page(
        self, request: Request, next_path: Annotated[str, QueryParameter(name="next")] = "/"
    ) -> SignInPage:
        """The form to sign in."""
        target = local_path(next_path)
        sign_in = Action("sign_in", "Sign in", "POST", "/sessions", list(fields_of(SignInForm)))
        return SignInPage(target, request.app.state.demo_people, [sign_in])

    @get(
        "/.well-known/jwks.json",
        public=True,
        foreign=True,
        produces="application/json",
        sync_to_thread=False,
    )
    def keys(self, request: Request) -> Response[dict[str, list[dict[str, str]]]]:
        """The public keys that verify tokens (RFC 7517)."""
        keys = request.app.state.key_ring.jwks()
        return Response(keys, media_type="application/json", headers={"Cache-Control": "public, max-age=300"})


class SessionController(Controller):
    path = "/sessions"
    tags = ("sessions",)

    @post(
        form="/sign-in",
        shows_secret=True,
        public=True,
        before_body=count_network,
        raises=[NotAuthorizedException],
    )
    async def create(self, request: Request, data: JSONBody[SignInForm]) -> Saved[SignedIn]:
        """Signs in: cookies for a browser, a 15-minute bearer token for a script."""
        state, network = request.app.state, request.scope["state"]["network"]
        email = fold_email(data.email)
        await state.throttle.check(email or data.email, network)
        user = await state.directory.user(email) if email else None
        if not await password_matches(data.password, user.password_hash if user else None) or not user:
            raise NotAuthorizedException(WRONG)
        me = principal_of(user, data.account_id)
        async with open_request_work(request, me.account_id, me.actor, me) as work:
            secret = await start_session(work, header(request.scope, b"user-agent"), network)
        signed_in = signed_in_as(request, me)
        if not request.wants_html:
            return Saved(signed_in, see="/sessions")
        set_cookies(request.scope, state.cookies.signed_in(signed_in.token, secret))
        return Saved(signed_in, see=local_path(data.next))

    @get(page="sessions/index.html", guards=[refuse_access_tokens])
    async def index(self, work: NamedDependency[Work], paging: NamedDependency[Paging]) -> SessionList:
        """Your sessions."""
        sessions = await my_sessions(work)
        items, links = part_of("/sessions", sessions, paging, attrgetter("id"))
        end_actions = [
            action(
                work,
                f"revoke:{session.id}",
                "End",
                f"/sessions/{session.id}",
                method="DELETE",
                form_href=f"/sessions/{session.id}/revocation",
            )
            for session in items
        ]
        others = action(
            work,
            "revoke_others",
            "End all other sessions",
            "/sessions/others",
            method="DELETE",
            form_href="/sessions/others/revocation",
            when=len(sessions) > 1,
        )
        return SessionList([*items], *links, len(sessions) - 1, actions(others, *end_actions))

    @deletion("/current", guards=[refuse_access_tokens])
    async def sign_out(self, request: Request, work: NamedDependency[Work]) -> Saved[None]:
        """Ends this session."""
        me = work.require_principal()
        if me.session_id is not None:
            await end_session(work, me.session_id)
        set_cookies(request.scope, request.app.state.cookies.signed_out())
        return Saved(None, see="/sign-in", note="You're signed out.")

    @post("/current/account", shows_secret=True, guards=[refuse_access_tokens], status_code=200)
    async def switch(
        self, request: Request, data: JSONBody[SwitchForm], work: NamedDependency[Work]
    ) -> Saved[SignedIn]:
        """Makes another of your accounts the current one; a script gets a token for it."""
        state, me = request.app.state, work.require_principal()
        target = await state.identity.directory.by_session(me.session_id, data.account_id)
        if target is None:
            raise NotFound("account", "You don't belong to that account.")
        await switch_account(work, target)
        signed_in = signed_in_as(request, target)
        if not header(request.scope, b"authorization"):
            set_cookies(request.scope, state.cookies.signed_in(signed_in.token))
        return Saved(signed_in, see="/", note=f"You're now in {target.account_name}.")

    @deletion("/others", form_path="/others/revocation", guards=[refuse_access_tokens])
    async def end_others(self, work: NamedDependency[Work]) -> Saved[None]:
        """Ends all your sessions except this one."""
        count = await end_other_sessions(work)
        return Saved(None, see="/sessions", note=f"Ended {plural(count, 'session')}.")

    @deletion("/{session_id:uuid}", form_path="/{session_id:uuid}/revocation", guards=[refuse_access_tokens])
    async def end(self, session_id: FromPath[UUID], work: NamedDependency[Work]) -> Saved[None]:
        """Ends one of your sessions, with immediate effect."""
        await end_session(work, session_id)
        return Saved(None, see="/sessions", note="The session has ended.")


def signed_in_as(request: Request, me: Principal) -> SignedIn:
    """A new token for the caller's session. Raises 401 without a session."""
    if me.session_id is None:
        raise NotAuthorizedException("Only a session can get a token.")
    token = request.app.state.tokens.issue(me.user_id, me.session_id, me.account_id)
    return SignedIn(token, LIFETIME_SECONDS, me.session_id, me.account_id, me.account_name, me.role)
