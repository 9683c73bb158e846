"""Routes of inbound webhooks: the page that creates URLs, and the public route that receives deliveries."""

from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotAuthorizedException, TooManyRequestsException
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody

from app.credentials import digest
from app.errors import NotFound
from app.inbound_webhooks.domain import PREFIX, BadSignature
from app.inbound_webhooks.schemas import (
    DeliveryReceipt,
    NewWebhookEndpoint,
    WebhookEndpointForm,
    WebhookEndpointList,
)
from app.inbound_webhooks.use_cases import Delivery, create_url, receive, webhook_urls
from app.permissions import Permission
from app.web import content_negotiation
from app.web.actions import action, actions
from app.web.body_limits import BodyLimits
from app.web.guards import may
from app.web.paging import Paging, cursor_of, part_of
from app.web.rate_limit import Limiter, headers_of
from app.web.request import Request
from app.web.request_checks import UnsupportedMedia
from app.web.request_work import open_request_work
from app.web.responses import Shaped
from app.work import Actor, Work

LARGEST = 262_144  # bytes of one delivery
DELIVERY = BodyLimits(json=LARGEST, fields=10_000, depth=LARGEST)  # `receive` checks the nesting
UNKNOWN = "There is no webhook at this URL. It may have been replaced by a new one."


class WebhookEndpointController(Controller):
    path = "/workflows/{workflow_id:uuid}/hooks"
    tags = ("hooks",)

    @get(page="workflows/webhooks.html", guards=[may(Permission.VIEW)])
    async def index(
        self, workflow_id: FromPath[UUID], work: NamedDependency[Work], paging: NamedDependency[Paging]
    ) -> WebhookEndpointList:
        """The webhook triggers of a workflow and the beginnings of their URLs. A whole URL is shown only when
        it is created."""
        name, endpoints = await webhook_urls(work, workflow_id)
        path = f"/workflows/{workflow_id}/hooks"
        items, links = part_of(path, endpoints, paging, lambda endpoint: cursor_of(endpoint.trigger))
        available = []
        for endpoint in items:
            for part, label in (("address", "New URL" if endpoint.token_prefix else "Create URL"),
                                ("secret", "New signing secret")):  # fmt: skip
                available.append(
                    action(
                        work, f"{part}:{endpoint.trigger}", label, path,
                        permission=Permission.PUBLISH_WORKFLOWS, form=WebhookEndpointForm,
                        options={"trigger": [endpoint.trigger], "part": [part]},
                        when=part == "address" or bool(endpoint.token_prefix),
                    )
                )  # fmt: skip
        return WebhookEndpointList(workflow_id, name, [*items], *links, actions(*available))

    @post(
        page="workflows/webhook_secret.html",
        form="/workflows/{workflow_id}/hooks",
        receipt=True,
        shows_secret=True,
        guards=[may(Permission.PUBLISH_WORKFLOWS)],
    )
    async def create(
        self,
        workflow_id: FromPath[UUID],
        request: Request,
        data: JSONBody[WebhookEndpointForm],
        work: NamedDependency[Work],
    ) -> Shaped[NewWebhookEndpoint]:
        """Creates a new URL or signing secret; only this response shows it."""
        token, secret = await create_url(work, workflow_id, data)
        base = request.app.state.settings.base_url.rstrip("/")
        url = f"{base}/hooks/{token}" if token else ""
        return Shaped(NewWebhookEndpoint(workflow_id, data.trigger, url, secret, []))


class DeliveryController(Controller):
    path = "/hooks/{token:str}"
    tags = ("hooks",)

    @post(
        public=True,
        foreign=True,
        status_code=202,
        reads=content_negotiation.JSON,
        limits=DELIVERY,
        responses={200: ResponseSpec(DeliveryReceipt, description="Accepted earlier.")},
        raises=[NotAuthorizedException, TooManyRequestsException],
    )
    async def receive(self, token: FromPath[str], request: Request) -> Shaped[DeliveryReceipt]:
        """Accepts a JSON delivery. The URL contains the secret. With `webhook-id` (Standard Webhooks) or
        `Idempotency-Key` a delivery is accepted once in 30 days: repeats answer 200 with the same event."""
        state = request.app.state
        if not token.startswith(PREFIX) or len(token) > 100:
            raise NotFound("address", UNKNOWN)
        token_digest = digest(token)
        await _limit(state.hook_limiter, token_digest.hex()[:32])
        account_and_endpoint = await state.webhook_by_token(token_digest)
        if account_and_endpoint is None:
            raise NotFound("address", UNKNOWN)
        account_id, webhook_id = account_and_endpoint
        await _limit(state.hook_limiter, str(account_id))
        if request.content_type[0] != content_negotiation.JSON:
            raise UnsupportedMedia(f"Send {content_negotiation.JSON}.")
        headers = {name.lower(): value for name, value in request.headers.items()}
        delivery = Delivery(headers, await request.body())
        actor = Actor("token", str(webhook_id), "Webhook")
        async with open_request_work(request, account_id, actor) as work:
            try:
                receipt = await receive(work, webhook_id, delivery)
            except BadSignature as error:
                raise NotAuthorizedException(str(error)) from None
        return Shaped(receipt, status_code=200 if receipt.repeated else 202)


async def _limit(limiter: Limiter, key: str) -> None:
    verdict = await limiter.hit(key)
    if not verdict.allowed:
        raise TooManyRequestsException(
            f"Too many deliveries. Wait {verdict.retry_after} seconds, then send again.",
            headers=headers_of([(limiter, verdict)]),
        )
