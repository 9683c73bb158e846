"""The page of an unsubscribe link (RFC 8058): opening it changes nothing, one POST unsubscribes."""

from uuid import UUID

from litestar import Controller, get, post
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from app.engine.effects.unsubscribe_links import PATH, link_key, read_token
from app.unsubscribe.schemas import UnsubscribePage
from app.unsubscribe.use_cases import unsubscribe
from app.web.actions import Action
from app.web.request import Request
from app.web.request_work import open_request_work
from app.web.responses import Shaped
from app.work import Actor, Work

INVALID = "This unsubscribe link isn't valid. Open it from the email again, or copy all of it."
LARGEST = 16_384  # bytes; providers send one short field


class UnsubscribeController(Controller):
    path = "/unsubscribe/{token:str}"
    tags = ("unsubscribe",)

    @get(page="unsubscribe/show.html", public=True, foreign=True)
    async def show(self, token: FromPath[str], request: Request) -> UnsubscribePage:
        """The page with the button. Link checkers open it too, so it changes nothing."""
        account_id, contact_id = await _read(request, token)
        async with open_request_work(request, account_id, _actor(contact_id)) as work:
            return await _page(work, token, unsubscribed=False)

    @post(
        page="unsubscribe/show.html",
        public=True,
        foreign=True,
        status_code=200,
        request_max_body_size=LARGEST,
    )
    async def confirm(self, token: FromPath[str], request: Request) -> Shaped[UnsubscribePage]:
        """Unsubscribes, for the button and for the one-click request of mail providers. They send
        `List-Unsubscribe=One-Click`, which is not required here. A repeated request changes nothing."""
        account_id, contact_id = await _read(request, token)
        async with open_request_work(request, account_id, _actor(contact_id)) as work:
            await unsubscribe(work, contact_id)
            return Shaped(await _page(work, token, unsubscribed=True), status_code=200)


async def _read(request: Request, token: str) -> tuple[UUID, UUID]:
    ids = read_token(await link_key(request.app.state.runtime), token)
    if ids is None:
        raise NotFoundException(INVALID)
    return ids


def _actor(contact_id: UUID) -> Actor:
    return Actor("contact", str(contact_id), "Contact, by unsubscribe link")


async def _page(work: Work, token: str, *, unsubscribed: bool) -> UnsubscribePage:
    account = await work.accounts.own()
    button = Action("unsubscribe", "Unsubscribe", "POST", f"{PATH}{token}")
    return UnsubscribePage(account.name, unsubscribed, [] if unsubscribed else [button])
