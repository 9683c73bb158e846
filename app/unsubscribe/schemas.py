"""The JSON of the unsubscribe page, before and after."""

import msgspec

from app.web.actions import Action


class UnsubscribePage(msgspec.Struct):
    """The account that sends the emails, and the one action. Nothing here names the contact: links get
    forwarded."""

    account_name: str
    unsubscribed: bool
    actions: list[Action]
