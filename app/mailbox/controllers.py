"""The Mailbox screen: the messages that the demo caught instead of sending them."""

from uuid import UUID

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from app.errors import NotFound
from app.mailbox.schemas import Channel, Header, MailLine, MailList, MailPage
from app.permissions import Permission
from app.web.guards import may
from app.web.paging import neighbor_links, page_link
from app.work import Work


class MailboxController(Controller):
    path = "/mailbox"
    tags = ("mailbox",)

    @get(page="mailbox/index.html", guards=[may(Permission.VIEW)])
    async def index(
        self,
        work: NamedDependency[Work],
        q: FromQuery[str] = "",
        channel: FromQuery[Channel] = Channel.ALL,
        after: FromQuery[UUID | None] = None,
        before: FromQuery[UUID | None] = None,
    ) -> MailList:
        """Caught messages, newest first. `q` is part of the recipient or the subject; `channel` is email, sms
        or chat. Messages with password links are listed only for members who manage members."""
        return await _list(work, q, channel, after, before)

    @get("/{message_id:uuid}", page="mailbox/show.html", guards=[may(Permission.VIEW)])
    async def show(
        self,
        message_id: FromPath[UUID],
        work: NamedDependency[Work],
        q: FromQuery[str] = "",
        channel: FromQuery[Channel] = Channel.ALL,
        after: FromQuery[UUID | None] = None,
        before: FromQuery[UUID | None] = None,
    ) -> MailPage:
        """One message with its headers and text, beside the list."""
        message = await work.mailbox.message(message_id, secrets=work.may(Permission.MANAGE_MEMBERS))
        if message is None:
            raise NotFound("message")
        headers = [Header(name, str(value)) for name, value in message.headers.items()]
        return MailPage(
            **msgspec.structs.asdict(await _list(work, q, channel, after, before)),
            id=message.id,
            kind=Channel(message.channel),
            message_id=message.message_id,
            sender=message.sender,
            recipient=message.recipient,
            subject=message.subject,
            text=message.body,
            headers=headers,
            received_at=message.received_at,
        )


async def _list(work: Work, q: str, channel: Channel, after: UUID | None, before: UUID | None) -> MailList:
    rows, more = await work.mailbox.page(
        q.strip(), after, before, channel=channel, secrets=work.may(Permission.MANAGE_MEMBERS)
    )
    filters = {"q": q, "channel": channel.value}
    query = filters | {"after": str(after or ""), "before": str(before or "")}
    items = [
        MailLine(
            row.id,
            Channel(row.channel),
            row.recipient,
            row.subject,
            row.preview,
            row.received_at,
            page_link(f"/mailbox/{row.id}", query),
        )
        for row in rows
    ]
    following, previous = neighbor_links("/mailbox", filters, items, after, before, more=more)
    return MailList(items=items, next=following, previous=previous, q=q, channel=channel, actions=[])
