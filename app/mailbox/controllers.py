"""The Mailbox screen: the messages that the demo caught instead of sending them."""

from uuid import UUID

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from app.mailbox.pages import mail_list, mail_page
from app.mailbox.schemas import Channel, MailList, MailPage
from app.permissions import Permission
from app.web.guards import may
from app.web.paging import Paging
from app.web.request_kinds import search_with
from app.work import Work


class MailboxController(Controller):
    path = "/mailbox"
    tags = ("mailbox",)

    @get(page="mailbox/index.html", guards=[may(Permission.VIEW)], kind=search_with("q"))
    async def index(
        self,
        work: NamedDependency[Work],
        paging: NamedDependency[Paging],
        q: FromQuery[str] = "",
        channel: FromQuery[Channel] = Channel.ALL,
    ) -> MailList:
        """Caught messages, newest first. `q` is part of the recipient or the subject; `channel` is email, sms
        or chat. Messages with password links are listed only for members who manage members."""
        return await mail_list(work, q, channel, paging)

    @get("/{message_id:uuid}", page="mailbox/show.html", guards=[may(Permission.VIEW)], kind=search_with("q"))
    async def show(
        self,
        message_id: FromPath[UUID],
        work: NamedDependency[Work],
        paging: NamedDependency[Paging],
        q: FromQuery[str] = "",
        channel: FromQuery[Channel] = Channel.ALL,
    ) -> MailPage:
        """One message with its headers and text, beside the list."""
        return await mail_page(work, message_id, q, channel, paging)
