"""What a mail server may do to us, through the whole of the ledger: how often it is asked again, and what the
enrollment comes to."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from email import message_from_bytes, policy

import pytest

from app.engine.core.steps import OnDoubt, SendEmail
from app.engine.effects.backoff import MAX_ATTEMPTS, MAX_SECONDS
from app.integrations import smtp
from app.integrations.smtp import SmtpMailer
from jobs.turns import drain
from tests.support.pending_effects import contact_with_effect
from tests.support.scenario import Stage
from tests.support.smtp_server import FROM, ScriptedSmtpServer, listening

STARTTLS = {"EHLO": "250-hi\r\n250 STARTTLS"}
BEHAVIOURS: dict[str, tuple[Mapping[str, str], str]] = {
    "greets with 421": ({"": "421 busy"}, "again"),
    "greets with 554": ({"": "554 go away"}, "never"),
    "says nothing": ({"": "-"}, "again"),
    "hangs up at once": ({"": ""}, "again"),
    "refuses the greeting for now": ({"EHLO": "421 no", "HELO": "421 no"}, "again"),
    "refuses the greeting for good": ({"EHLO": "550 no", "HELO": "550 no"}, "never"),
    "offers TLS and has none": (STARTTLS | {"STARTTLS": "454 none now"}, "again"),
    "offers TLS and speaks none": (STARTTLS | {"STARTTLS": "220 go"}, "again"),
    "refuses the sender for now": ({"MAIL": "451 later"}, "again"),
    "refuses the sender for good": ({"MAIL": "550 who"}, "never"),
    "hangs up after the sender": ({"MAIL": ""}, "again"),
    "has a grey list": ({"RCPT": "450 4.7.1 greylisted"}, "again"),
    "has a full mailbox for now": ({"RCPT": "452 full"}, "again"),
    "goes down at the recipient": ({"RCPT": "421 shutting down"}, "again"),
    "knows no such user": ({"RCPT": "550 5.1.1 no such user"}, "never"),
    "forbids the name": ({"RCPT": "553 not allowed"}, "never"),
    "takes no data now": ({"DATA": "451 later"}, "again"),
    "takes no data at all": ({"DATA": "554 no"}, "never"),
    "answers 451 to the letter": ({".": "451 try later"}, "again"),
    "answers 452 to the letter": ({".": "452 no room"}, "again"),
    "calls it spam": ({".": "554 5.7.1 spam"}, "never"),
    "says nothing after the dot": ({".": "-"}, "doubt"),
    "hangs up after the dot": ({".": ""}, "doubt"),
    "babbles after the dot": ({".": "well thank you"}, "doubt"),
    "hangs up after it took it": ({"QUIT": ""}, "sent"),
    "takes it": ({}, "sent"),
}


class CountingSmtpServer(ScriptedSmtpServer):
    """Also counts connections and keeps each letter."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        super().__init__(answers)
        self.times = 0
        self.letters: list[bytes] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.times += 1
        self.data = b""
        try:
            await super().talk(reader, writer)
        finally:
            if self.data:
                self.letters.append(self.data)


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
async def test_each_behavior_has_its_outcome(
    stage: Stage, behaviour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "TIMEOUT", 0.3)
    answers, means = BEHAVIOURS[behaviour]
    server = CountingSmtpServer(answers)
    person = await contact_with_effect(stage)
    async with listening(server) as mailer:
        runtime = replace(stage.runtime, mailer=mailer)
        await drain(runtime, stage.account)
        first = dict(await stage.effect(person))
        stage.clock.forward(hours=2)
        await drain(runtime, stage.account)
    times = {"again": 2, "never": 1, "doubt": 1, "sent": 1}[means]
    status = {"again": "retry", "never": "failed_permanent", "doubt": "unknown", "sent": "sent"}[means]
    assert (first["status"], server.times) == (status, times), first["error"]
    assert (await stage.effect(person))["attempts"] == times
    enrollment = await stage.enrollment(person)
    assert (enrollment["status"], enrollment["wait_reason"]) == {
        "again": ("active", "retry"), "never": ("failed", None), "doubt": ("active", "hold"),
        "sent": ("completed", None),
    }[means]  # fmt: skip
    if means in ("again", "never", "doubt"):
        assert first["error"]
        assert first["error_class"]


async def test_resend_on_doubt_uses_the_same_key(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "TIMEOUT", 0.3)
    server = CountingSmtpServer({".": ""})
    person = await contact_with_effect(stage, SendEmail(subject="a", body="b", on_doubt=OnDoubt.RESEND))
    async with listening(server) as mailer:
        runtime = replace(stage.runtime, mailer=mailer)
        for _ in range(3):
            await drain(runtime, stage.account)
            stage.clock.forward(hours=2)
    keys = {str(message_from_bytes(letter, policy=policy.default)["Message-ID"]) for letter in server.letters}
    assert (server.times, len(keys)) == (3, 1)
    assert (await stage.effect(person))["status"] == "retry"


async def test_retries_back_off_with_jitter_and_a_cap_and_end(stage: Stage) -> None:
    server = CountingSmtpServer({"RCPT": "450 greylisted"})
    person = await contact_with_effect(stage)
    pauses = []
    async with listening(server) as mailer:
        runtime = replace(stage.runtime, mailer=mailer)
        await drain(runtime, stage.account)
        while (effect := await stage.effect(person))["status"] == "retry":
            pauses.append((effect["due_at"] - await stage.now()).total_seconds())
            stage.clock.forward(seconds=pauses[-1] + 1)
            await drain(runtime, stage.account)
    assert (len(pauses), server.times) == (MAX_ATTEMPTS - 1, MAX_ATTEMPTS)
    assert all(
        15 * 2**at * 0.8 <= min(pause, MAX_SECONDS) or pause >= MAX_SECONDS * 0.8
        for at, pause in enumerate(pauses)
    )
    assert max(pauses) <= MAX_SECONDS * 1.25
    assert len({round(pause % 15, 3) for pause in pauses}) == len(pauses), "no two pauses are alike"
    assert (await stage.enrollment(person))["status"] == "failed"


async def test_refused_connection_is_retried(stage: Stage) -> None:
    async with listening(ScriptedSmtpServer({})) as mailer:
        pass
    person = await contact_with_effect(stage)
    runtime = replace(stage.runtime, mailer=SmtpMailer(f"smtp://127.0.0.1:{mailer.port}", FROM))
    await drain(runtime, stage.account)
    effect = await stage.effect(person)
    assert (effect["status"], effect["error_class"]) == ("retry", "unreachable")
