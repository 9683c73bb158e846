"""Builds the Mailbox screen: the list of caught messages, and one of them beside it."""

from uuid import UUID

from msgspec.structs import asdict

from app.errors import NotFound
from app.mailbox.schemas import Channel, Header, MailLine, MailList, MailPage
from app.permissions import Permission
from app.web.paging import Paging, neighbor_links, page_link
from app.work import Work
from db.queries.mailbox import ListedMessage, fetch_mailbox_page

PAGE_SIZE = 30


async def mail_list(work: Work, q: str, channel: Channel, paging: Paging) -> MailList:
    """A page of messages. Those with password links are only for members who manage members."""
    messages, more = await fetch_mailbox_page(
        work.session,
        q.strip(),
        paging.after,
        paging.before,
        channel=channel,
        secrets=work.may(Permission.MANAGE_MEMBERS),
        limit=paging.size(PAGE_SIZE),
    )
    filters = {"q": q, "channel": channel.value}
    query = filters | paging.query()
    items = [_line(message, query) for message in messages]
    following, previous = neighbor_links("/mailbox", filters, items, paging, more=more)
    return MailList(items, following, previous, q, channel, [])


async def mail_page(work: Work, message_id: UUID, q: str, channel: Channel, paging: Paging) -> MailPage:
    """One message beside the list. Raises `NotFound`."""
    message = await work.mailbox.message(message_id, secrets=work.may(Permission.MANAGE_MEMBERS))
    if message is None:
        raise NotFound("message")
    return MailPage(
        **asdict(await mail_list(work, q, channel, paging)),
        id=message.id,
        kind=Channel(message.channel),
        message_id=message.message_id,
        sender=message.sender,
        recipient=message.recipient,
        subject=message.subject,
        text=message.body,
        headers=[Header(name, str(value)) for name, value in message.headers.items()],
        received_at=message.received_at,
    )


def _line(message: ListedMessage, query: dict[str, str]) -> MailLine:
    return MailLine(
        message.id,
        Channel(message.channel),
        message.recipient,
        message.subject,
        message.preview,
        message.received_at,
        page_link(f"/mailbox/{message.id}", query),
    )
