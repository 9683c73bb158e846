"""Refusals that are the same for every recipient are about the sender: the step stops, and no enrollment
fails."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from app.engine.core.steps import Chat, SendEmail, SendSms, Webhook
from app.engine.core.triggers import ContactCreated, EmailEvent
from app.integrations.http import OutboundHttpClient
from app.integrations.sms_chat import HttpMessageProvider
from app.integrations.smtp_replies import class_of
from app.ports import ADDRESS_ERROR
from tests.support.breaker_kit import open_endpoint, run_many, statuses
from tests.support.scenario import Stage
from tests.support.smtp_server import ScriptedSmtpServer, listening

MANY = 60
MAIL = SendEmail(subject="Hello", body="Hi")
RELAYING = "550 5.7.1 relaying denied"


class MailServer(ScriptedSmtpServer):
    """Answers RCPT by what `reply` makes of the address."""

    def __init__(self, reply: Callable[[str], str]) -> None:
        super().__init__({})
        self.reply = reply
        self.attempts: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address, reply = "", "220 hi"
        while reply:
            writer.write(f"{reply}\r\n".encode())
            await writer.drain()
            line = (await reader.readline()).decode()
            command = line.split(" ")[0].strip().upper()
            if not command:
                return
            if command == "RCPT":
                address = line.split("<")[1].split(">")[0]
                self.attempts[address] += 1
            reply = self.reply(address) if command == "RCPT" else self.answers.get(command, "500 what")
            if command == "DATA" and reply.startswith("354"):
                writer.write(b"354 go\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                self.taken[address] += 1
                reply = "250 taken"


async def failed_visits(stage: Stage) -> int:
    rows = await stage.sql(
        "select 1 from enrollment_executions where account_id = $1 and outcome = 'failed'", stage.account
    )
    return len(rows)


async def test_server_that_refuses_to_relay_fails_no_enrollment(stage: Stage) -> None:
    server = MailServer(lambda _: RELAYING)
    async with listening(server) as mailer:
        stage.runtime = replace(stage.runtime, mailer=mailer)
        await run_many(stage, MAIL, MANY)
        await stage.drain()
        first = server.attempts.total()
        assert 3 <= first <= 12, "as many as were under way when the third was refused"
        assert (await statuses(stage))["failed", None] == 0
        row = await stage.row(
            "select state, error_class from circuit_breakers where account_id = $1", stage.account
        )
        assert tuple(row) == ("open", "smtp_5.7.1")
        for _ in range(6):  # an hour of probes
            await stage.drain(minutes=10)
        assert server.attempts.total() <= first + 6
        assert len(server.attempts) >= first + 4, "each time it is tried with another contact"
        assert (await statuses(stage))["failed", None] == 0
        server.reply = lambda _: "250 ok"
        for _ in range(20):
            await stage.drain(minutes=1)
    assert await statuses(stage) == {("completed", None): MANY}
    assert len(server.taken) == MANY
    assert set(server.taken.values()) == {1}, "exactly once each"
    assert not await stage.sql("select 1 from circuit_breakers where account_id = $1", stage.account)
    assert await failed_visits(stage) <= 2, "those who came before it was known"


async def test_three_refusals_open_the_breaker_even_hours_apart(stage: Stage) -> None:
    server = MailServer(lambda _: RELAYING)
    async with listening(server) as mailer:
        stage.runtime = replace(stage.runtime, mailer=mailer)
        await stage.workflow([MAIL], ContactCreated(key="t1"))
        for _ in range(3):
            await stage.emit("contact.created", await stage.contact())
            await stage.drain(hours=3)
        assert {status for status, _ in await statuses(stage)} == {"active"}
        audit = await stage.sql(
            "select actor_kind from audit_logs where action = 'enrollment.retried' and account_id = $1",
            stage.account,
        )
        assert [row["actor_kind"] for row in audit] == ["system", "system"]
        server.reply = lambda _: "250 ok"
        for _ in range(5):
            await stage.drain(minutes=11)
    assert await statuses(stage) == {("completed", None): 3}


async def test_nonexistent_addresses_do_not_count_for_others(stage: Stage) -> None:
    """By status or by words; the others get their email at once."""
    people = iter(range(1000))
    reply_numbers: dict[str, int] = {}

    def reply(address: str) -> str:
        number = reply_numbers.setdefault(address, next(people))
        replies = ("550 5.1.1 user unknown", "550 no such user", "550 mailbox unavailable", "250 ok")
        return replies[number // 10]

    server = MailServer(reply)
    async with listening(server) as mailer:
        stage.runtime = replace(stage.runtime, mailer=mailer)
        await run_many(stage, MAIL, 40)
        await stage.drain()
    assert await statuses(stage) == {("failed", None): 30, ("completed", None): 10}
    assert set(server.attempts.values()) == {1}
    assert not await stage.sql("select 1 from circuit_breakers where account_id = $1", stage.account)


async def test_few_unclear_refusals_fail_and_do_not_stop_the_step(
    stage: Stage,
) -> None:
    """Three in a row are taken for the server's own trouble once; when others pass, it was theirs."""
    bad: set[str] = set()

    def reply(address: str) -> str:
        if len(bad) < 6:
            bad.add(address)
        return "550 go away" if address in bad else "250 ok"

    server = MailServer(reply)
    async with listening(server) as mailer:
        stage.runtime = replace(stage.runtime, mailer=mailer)
        await run_many(stage, MAIL, 30)
        for _ in range(90):
            await stage.drain(minutes=5)
    assert await statuses(stage) == {("failed", None): 6, ("completed", None): 24}
    assert set(server.taken.values()) == {1}
    assert max(server.attempts[address] for address in bad) <= 12


@pytest.mark.parametrize(
    ("kind", "status"), [("webhook", "401 No"), ("webhook", "404 No"), ("sms", "403 No"), ("chat", "401 No")]
)
async def test_web_server_that_refuses_every_call(stage: Stage, kind: str, status: str) -> None:
    async with open_endpoint() as (endpoint, url):
        endpoint.status = status
        base = url.rstrip("/")
        settings = msgspec.structs.replace(stage.runtime.settings, sms_url=base, chat_url=base)
        stage.runtime = replace(
            stage.runtime,
            caller=OutboundHttpClient(allow_loopback=True),
            provider=HttpMessageProvider(settings),
        )
        steps: dict[str, Any] = {
            "webhook": Webhook(url=url), "sms": SendSms(body="Hi"), "chat": Chat(channel="#a", text="Hi"),
        }  # fmt: skip
        await stage.workflow([steps[kind]], ContactCreated(key="t1"))
        for number in range(20):
            person = await stage.contact(phone=f"+3934700000{number:02}")
            await stage.emit("contact.created", person)
        await stage.drain()
        assert endpoint.tried.total() <= 12
        await stage.drain(minutes=1)
        assert {status for status, _ in await statuses(stage)} == {"active"}
        endpoint.status = "200 Alive"
        for _ in range(6):
            await stage.drain(minutes=11)
        assert await statuses(stage) == {("completed", None): 20}
        assert set(endpoint.taken.values()) == {1}


async def test_three_gone_recipients_delay_the_next_for_minutes_only(stage: Stage) -> None:
    """A shop answers 404 for a customer who no longer exists, as it would for a wrong address. The next
    contact gets through, and then they fail."""
    gone, calls = {"c1", "c2", "c3"}, Counter[str]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = (await reader.readuntil(b"\r\n\r\n")).decode().split()[1].strip("/")
        calls[name] += 1
        status = "404 Gone" if name in gone else "200 Fine"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        stage.runtime = replace(stage.runtime, caller=OutboundHttpClient(allow_loopback=True))
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await stage.workflow([Webhook(url=f"{base}/{{{{ contact.external_id }}}}")], ContactCreated(key="t1"))
        for name in sorted(gone):
            await stage.emit("contact.created", await stage.contact(external_id=name))
            await stage.drain(hours=1)
        assert {status for status, _ in await statuses(stage)} == {"active"}
        for name in ("c4", "c5", "c6"):
            await stage.emit("contact.created", await stage.contact(external_id=name))
            for _ in range(5):
                await stage.drain(minutes=3)
            assert calls[name] == 1, "within a quarter of an hour"
    assert await statuses(stage) == {("failed", None): 3, ("completed", None): 3}
    assert not await stage.sql(
        "select 1 from circuit_breakers where account_id = $1 and state <> 'closed'", stage.account
    )


async def test_success_between_refusals_makes_them_individual(stage: Stage) -> None:
    numbers: dict[str, int] = {}

    def reply(address: str) -> str:
        return "250 ok" if numbers.setdefault(address, len(numbers)) % 3 == 2 else RELAYING

    server = MailServer(reply)
    async with listening(server) as mailer:
        stage.runtime = replace(stage.runtime, mailer=mailer)
        await stage.workflow([MAIL], ContactCreated(key="t1"))
        for _ in range(9):
            await stage.emit("contact.created", await stage.contact())
            await stage.drain(minutes=11)
    assert await statuses(stage) == {("failed", None): 6, ("completed", None): 3}


async def test_only_an_address_bounces(stage: Stage) -> None:
    """A policy is no bounce; what was refused in unclear words is."""
    replies = iter(["550 5.1.1 unknown", "550 5.7.1 blocked", "550 go away"])
    server = MailServer(lambda _: next(replies))
    bounced = EmailEvent(key="t1", event="bounced")
    await stage.workflow([Webhook(url="https://crm.example/x")], bounced)
    async with listening(server) as mailer:
        stage.runtime = replace(stage.runtime, mailer=mailer)
        await stage.workflow([MAIL], ContactCreated(key="t1"))
        for _ in range(3):
            await stage.emit("contact.created", await stage.contact())
            await stage.drain()
    assert len(stage.outside.calls) == 2


@pytest.mark.parametrize(
    ("code", "text", "what"),
    [
        (550, "5.1.1 <a@b.example>: Recipient address rejected: User unknown in table", ADDRESS_ERROR),
        (550, "5.1.10 RESOLVER.ADR.RecipientNotFound", ADDRESS_ERROR),
        (552, "5.2.2 mailbox full", ADDRESS_ERROR),
        (550, "No such user here", ADDRESS_ERROR),
        (550, "Requested action not taken: mailbox unavailable", ADDRESS_ERROR),
        (553, "sorry, your account over quota", ADDRESS_ERROR),
        (550, "5.7.1 relaying denied", "smtp_5.7.1"),
        (550, "relay not permitted", "smtp_550"),
        (550, "5.1.2 <a@b.example> we do not relay", "smtp_5.1.2"),
        (554, "5.7.1 <a@b.example>: Recipient address rejected: Access denied", "smtp_5.7.1"),
        (550, "5.1.8 sender's domain does not exist", "smtp_5.1.8"),
        (553, "5.3.0 system not accepting", "smtp_5.3.0"),
        (501, "5.5.2 syntax", "smtp_5.5.2"),
        (530, "authentication required", "smtp_530"),
        (550, "your address 1.2.3.4 is on a blocklist", "smtp_550"),
        (550, "5.4.5 Daily user sending quota exceeded", "smtp_5.4.5"),
        (550, "Sending account is suspended", "smtp_550"),
        (554, "Helo command rejected: Host not found", "smtp_554"),
        (550, "Your host is unknown", "smtp_550"),
        (554, "mail from unknown host", "smtp_554"),
        (550, "Unrouteable address", ADDRESS_ERROR),
        (550, "5.4.4 Invalid domain", ADDRESS_ERROR),
        (550, "5.4.4 Unable to route: domain has no MX", ADDRESS_ERROR),
        (550, "5.5.0 Requested action not taken: mailbox unavailable", ADDRESS_ERROR),
        (550, "5.4.1 Recipient address rejected: Access denied. [a.prod.example]", ADDRESS_ERROR),
        (550, "5.7.1 Recipient address rejected: Access denied", "smtp_5.7.1"),
        (550, "5.4.1 no answer from host", "recipient_5.4.1"),
        (550, "no", "recipient_550"),
        (550, "<spam@b.example> no", "recipient_550"),
        (451, "4.7.1 greylisted", "smtp_451"),
    ],
)  # fmt: skip
def test_class_of_recipient_refusals(code: int, text: str, what: str) -> None:
    assert class_of(code, text, recipient=True) == what


def test_class_of_other_refusals() -> None:
    assert class_of(550, "5.1.1 user unknown", message=True) == ADDRESS_ERROR
    assert class_of(554, "no", message=True) == "smtp_554"
    assert class_of(554, "5.7.1 spam", message=True) == "smtp_5.7.1"
    assert class_of(550, "5.1.0 unknown", recipient=False) == "smtp_5.1.0", "the sender's address"
    assert class_of(535, "5.7.8 authentication failed") == "smtp_5.7.8"
