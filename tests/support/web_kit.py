"""A small app on the real web kit, with users who need no database: for tests of the kit itself."""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from uuid import UUID, uuid4

import httpx
import msgspec
from litestar import Controller, Litestar, Response, get, post
from litestar.params import FromPath, FromQuery, JSONBody

from app.account_places import RequestCost
from app.credentials import digest
from app.errors import Conflict, Invalid, NotFound
from app.health.controllers import HealthController, metrics
from app.permissions import Permission, Role, allowed
from app.settings import Settings
from app.web.auth import Authenticate, Identity
from app.web.cookies import Cookies
from app.web.errors import EXCEPTION_HANDLERS
from app.web.guards import may, refuse_access_tokens, signed_in
from app.web.middleware import ResponseMiddleware
from app.web.openapi.controllers import SchemaController
from app.web.openapi.document import config
from app.web.params import remember_parameters
from app.web.rate_limit import Limiter, RedisBreaker
from app.web.request import Request
from app.web.request_checks import prepare
from app.web.request_limits import RequestLimits
from app.web.responses import Saved, Shaped
from app.web.signing_keys import KeyRing
from app.web.static import Assets, static_file
from app.web.templates import Templates
from app.web.tokens import Tokens
from app.work import Caller, Principal

BASE = "http://127.0.0.1:8000"
HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
JSON = {"accept": "application/json"}
PARTIAL = {"accept": "text/html", "hx-request": "true", "hx-request-type": "partial"}
OWN = {"origin": BASE}
PAGES = {
    "thing.html": (
        "<main>page {{ page.name }} for {{ me.name }} note={{ note }} "
        "typed={{ form.value('name', '-') }} error={{ form.error('age') }} said={{ form.message }}</main>"
    ),
    "_thing.html": "<p>fragment {{ page.name }} note={{ note }}</p>",
    "_sheet.html": "<p>sheet {{ page.name }}</p>",
    "_form.html": "<form>again {{ form.errors|json }} {{ form.values|json }}</form>",
    "errors/problem.html": "<h1>{{ page.status }} {{ page.title }}</h1><p>{{ page.detail }}</p>",
    "errors/_problem.html": "<p>{{ page.detail }}</p>",
    "schema/index.html": "{{ page.title }}",
}
STATEMENT = "secret-of-the-statement"
TOKEN_SCOPES = ["view", "made:up"]


class Address(msgspec.Struct, forbid_unknown_fields=True):
    city: str = ""
    zip: int | None = None


class ThingForm(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=20)]
    age: Annotated[int, msgspec.Meta(ge=0)] | None = None
    kind: Literal["big", "small"] = "small"
    tags: list[str] = []
    active: bool = False
    born: date | None = None
    address: Address = msgspec.field(default_factory=Address)


class Thing(msgspec.Struct):
    name: str
    form: ThingForm | None = None


class SQLError(Exception):
    """What a database driver raises, as far as the error table looks at it."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(f"{STATEMENT} {sqlstate}")
        self.sqlstate = sqlstate


class ThingController(Controller):
    path = "/things"

    @get(
        "/{thing_id:uuid}",
        page="thing.html",
        fragment={"sheet": "_sheet.html", "": "_thing.html"},
        guards=[may(Permission.VIEW)],
    )
    async def show(self, thing_id: FromPath[UUID], n: FromQuery[int] = 1) -> Thing:
        return Thing(f"{thing_id} {n}")

    @get("/new", page="thing.html", guards=[may(Permission.VIEW)])
    async def new(self) -> Thing:
        return Thing("new")

    @post(
        page="thing.html", fragment="_thing.html", form="/things/new", guards=[may(Permission.EDIT_CONTACTS)]
    )
    async def create(self, data: JSONBody[ThingForm]) -> Saved[Thing]:
        if data.name == "taken":
            raise Invalid({"age": "Somebody has that."})
        return Saved(Thing(data.name, data), see="/things/1", note="It’s made; look.")

    @post("/{thing_id:uuid}", form="_form.html", guards=[may(Permission.EDIT_CONTACTS)])
    async def change(self, thing_id: FromPath[UUID], data: JSONBody[ThingForm]) -> Saved[Thing]:
        if data.name == "late":
            raise Conflict("Somebody was faster.", current={"name": "now"})
        return Saved(Thing(data.name, data), see=f"/things/{thing_id}", created=False)

    @post("/{thing_id:uuid}/deletion", guards=[may(Permission.EDIT_CONTACTS)])
    async def drop(self, thing_id: FromPath[UUID]) -> Saved[None]:
        if thing_id.int == 0:
            raise NotFound("thing")
        return Saved(None, see="/things")

    @get("/mine", page="thing.html", guards=[refuse_access_tokens])
    async def mine(self) -> Thing:
        return Thing("mine")

    @get("/csv", guards=[signed_in], produces="text/csv")
    async def table(self) -> Response[str]:
        return Response("a,b\n", media_type="text/csv")

    @get("/fault/{kind:str}", page="thing.html", guards=[signed_in])
    async def fault(self, kind: FromPath[str]) -> Thing:
        if kind == "bug":
            raise RuntimeError(STATEMENT)
        if kind == "refused":
            raise ConnectionRefusedError(STATEMENT)
        raise SQLError(kind)


class NoWork(msgspec.Struct):
    """The unit of work of a caller in an app without a database."""

    principal: Principal | None

    async def close(self) -> None:
        """Nothing was opened."""


class People:
    """The users of the app: an owner and a viewer with sessions, and two access tokens."""

    def __init__(self) -> None:
        self.account = uuid4()
        self.sessions = {uuid4(): Role.OWNER, uuid4(): Role.VIEWER}
        self.users = {session: uuid4() for session in self.sessions}
        self.secrets: set[bytes] = set()
        self.lookups = 0

    @property
    def owner(self) -> UUID:
        return next(iter(self.sessions))

    @property
    def viewer(self) -> UUID:
        return list(self.sessions)[1]

    def principal(self, session: UUID, scopes: Sequence[str] | None = None) -> Principal:
        role = self.sessions[session]
        return Principal(
            user_id=self.users[session],
            email=f"{role}@acme.example",
            name=role.value.capitalize(),
            account_id=self.account,
            account_name="Acme",
            role=role,
            session_id=None if scopes is not None else session,
            token_id=uuid4() if scopes is not None else None,
            permissions=allowed(role, scopes),
        )

    async def open_session(
        self, session_id: UUID, account_id: UUID, request_id: str | None, cost: RequestCost, *, page: bool
    ) -> "NoWork | None":
        self.lookups += 1
        principal = await self.by_session(session_id, account_id)
        return NoWork(principal) if principal else None

    async def open_access_token(
        self, token_hash: bytes, request_id: str | None, cost: RequestCost, *, page: bool
    ) -> "NoWork | None":
        return NoWork(self.principal(self.owner, TOKEN_SCOPES)) if token_hash == digest("swy_view") else None

    async def caller_by_digest(
        self, token_hash: bytes, request_id: str | None, cost: RequestCost
    ) -> Caller | None:
        if token_hash != digest("swy_view"):
            return None
        return self.principal(self.owner, TOKEN_SCOPES).caller

    async def note_use(self, token_hash: bytes) -> None:
        assert token_hash == digest("swy_view")

    async def by_session(self, session_id: UUID, account_id: UUID) -> Principal | None:
        return (
            self.principal(session_id) if session_id in self.sessions and account_id == self.account else None
        )

    async def by_secret(self, session_id: UUID, secret_hash: bytes) -> Principal | None:
        return (
            self.principal(session_id)
            if secret_hash in self.secrets and session_id in self.sessions
            else None
        )


class Kit:
    """The app and what a test needs to talk to it."""

    def __init__(
        self, folder: Path, limits: RequestLimits | None = None, keys: KeyRing | None = None, **settings: Any
    ) -> None:
        self.people = People()
        self.settings = Settings(data_dir=folder, base_url=settings.pop("base_url", BASE), **settings)
        self.keys = keys or shared_keys()
        self.tokens = Tokens(self.keys, self.settings.base_url)
        self.cookies = Cookies(self.settings)
        self.identity = Identity(self.people, self.tokens, self.cookies)
        self.app = self._app(folder, limits or limits_of(10_000))

    def _app(self, folder: Path, limits: RequestLimits) -> Litestar:
        for name, text in PAGES.items():
            path = folder / "templates" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        app = Litestar(
            [ThingController, HealthController, static_file, metrics],
            request_class=Request,
            response_class=Shaped,
            before_request=cast("Any", prepare),
            exception_handlers=EXCEPTION_HANDLERS,
            openapi_config=config(SchemaController),
            middleware=[Authenticate(self.identity, limits)],
            request_max_body_size=4000,
            logging_config=None,
        )
        remember_parameters(app)
        assets = Assets()
        app.state.settings = self.settings
        app.state.assets = assets
        app.state.identity = self.identity
        app.state.record_pool = _nothing
        app.state.templates = Templates(self.settings, assets, folder / "templates")
        app.state.database_probe = app.state.redis_probe = _fine
        app.asgi_handler = ResponseMiddleware(app.asgi_handler, self.settings)
        return app

    def token(self, session: UUID | None = None, **options: Any) -> str:
        session = session or self.people.owner
        return self.tokens.issue(self.people.users[session], session, self.people.account, **options)

    def bearer(self, session: UUID | None = None) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token(session)}"}

    @asynccontextmanager
    async def client(self, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(cast("Any", self.app))
        async with httpx.AsyncClient(transport=transport, base_url=BASE, headers=headers) as client:
            yield client


def limits_of(
    account: int, scripts: int = 0, token: int = 0, redis: Any = None, window: float = 60
) -> RequestLimits:
    """Limits of this many calls; 0 is as many as the account has."""
    breaker = RedisBreaker()
    return RequestLimits(
        Limiter(redis, "account", account, window, breaker),
        Limiter(redis, "scripts", scripts or account, window, breaker),
        Limiter(redis, "token", token or account, window, breaker),
    )


@cache
def shared_keys() -> KeyRing:
    """One key pair for all tests that do not look at keys: making one takes a tenth of a second."""
    return KeyRing(Path(tempfile.mkdtemp()))


def _nothing() -> None:
    """The gauges of a pool that is not there."""


async def _fine() -> None:
    """A probe that is content."""
