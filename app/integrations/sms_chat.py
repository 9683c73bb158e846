"""Sends SMS and chat messages, one HTTP call each to the provider that the settings name."""

import msgspec

from app.integrations.http import OutboundHttpClient
from app.ports import CallOutcome, HttpRequest, Message, Refused
from app.settings import Settings

ACCOUNT_HEADER = "X-Switchyard-Account"
_NAMES = {"sms": ("SMS", "SMS_URL"), "chat": ("Chat", "CHAT_URL")}


class HttpMessageProvider:
    """POST {base}/messages with {to, body} for an SMS and {channel, text} for a chat message. The base
    addresses come from the operator, so they may be inside the network."""

    def __init__(self, settings: Settings) -> None:
        self.ways = {
            "sms": (settings.sms_url, settings.sms_token),
            "chat": (settings.chat_url, settings.chat_token),
        }
        self.caller = OutboundHttpClient(allow_loopback=True, operator=True)

    async def deliver(self, message: Message) -> CallOutcome:
        """The outcome of the provider's response; a permanent failure if no provider is configured."""
        base, token = self.ways[message.channel]
        if not base:
            service, name = _NAMES[message.channel]
            return Refused(
                f"{service} isn't set up. Set {name} to your provider's URL and restart the worker, "
                "then retry the step.",
                permanent=True,
                error_class="not_set_up",
            )
        payload = (
            {"to": message.to, "body": message.text}
            if message.channel == "sms"
            else {"channel": message.to, "text": message.text}
        )
        headers = {ACCOUNT_HEADER: message.account_id}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return await self.caller.call(
            HttpRequest(
                url=f"{base.rstrip('/')}/messages",
                method="POST",
                headers=headers,
                body=msgspec.json.encode(payload).decode(),
                key=message.key,
            )
        )
