"""Steps that tell somebody something. What leaves the house goes through the ledger of effects; a
notification inside the product is a row like any other."""

from typing import Annotated, Literal

from msgspec import Meta

from app.engine.core.steps.base import Config, Line, OnDoubt, Text, Window
from app.engine.core.steps.contact import Users


class SendEmail(Config, frozen=True, tag="send_email"):
    """`subject`, `body`, `from_name`, `reply_to` are templates; the body is plain text. Contacts who denied
    consent get none, unless it is `transactional`."""

    subject: Line = ""
    body: Text = ""
    from_name: Line = ""
    reply_to: Line = ""
    on_doubt: OnDoubt = OnDoubt.HOLD
    transactional: bool = False
    window: Window | None = None


class SendSms(Config, frozen=True, tag="send_sms"):
    """`body` is a template, sent to the contact's phone."""

    body: Annotated[str, Meta(max_length=1600)] = ""
    on_doubt: OnDoubt = OnDoubt.HOLD
    transactional: bool = False
    window: Window | None = None


class Notify(Config, frozen=True, tag="notify"):
    """Tells members inside the product, and with `email` also by one e-mail to all of them. `title` and
    `body` are templates."""

    to: Literal["owner", "users", "everyone"] = "owner"
    users: Users = []
    title: Line = ""
    body: Text = ""
    email: bool = False


class Chat(Config, frozen=True, tag="chat"):
    """A message to a channel of the chat provider; `text` is a template."""

    channel: Line = ""
    text: Text = ""
    on_doubt: OnDoubt = OnDoubt.RESEND
    window: Window | None = None


class Webhook(Config, frozen=True, tag="webhook"):
    """`url`, header values and `body` are templates; the body must render to JSON, or be empty for none. With
    `save_as` a JSON answer is kept with the enrollment and later templates
    read `{{ response.<save_as>.… }}`."""

    url: Annotated[str, Meta(max_length=2000)] = ""
    method: Literal["POST", "PUT", "PATCH", "GET", "DELETE"] = "POST"
    headers: dict[str, Line] = {}
    body: Text = '{"contact": "{{ contact.id }}", "email": "{{ contact.email }}"}'
    on_doubt: OnDoubt = OnDoubt.RESEND
    save_as: Annotated[str, Meta(pattern=r"^([a-z][a-z0-9_]{0,39})?\Z")] = ""
    window: Window | None = None
