"""What an email says about unsubscribing: a link in its headers and text, the same for every attempt."""

import re
from dataclasses import replace
from email import message_from_bytes, policy
from uuid import UUID

import msgspec
import pytest

from app.engine.core.steps import Notify, SendEmail, Unit, Wait
from app.engine.core.triggers import ContactCreated
from app.engine.effects.unsubscribe_links import link_key, link_of
from app.integrations.smtp import compose
from app.ports import Email, Refused
from tests.support.scenario import Stage, Steps
from tests.support.smtp_server import FROM, ScriptedSmtpServer, listening, make_email

LINK = "https://crm.example.com/unsubscribe/" + "aB3_-" * 13
MAILTO = "mailto:leave@example.com?subject=unsubscribe"


async def link(stage: Stage, person: UUID) -> str:
    key = await link_key(stage.runtime)
    return link_of(stage.runtime.settings.base_url, key, stage.account, person)


async def test_an_email_carries_the_contacts_own_link(stage: Stage) -> None:
    body = "Hello {{ contact.first_name }}\n{{ unsubscribe_url }}"
    await stage.workflow([SendEmail(subject="Hi", body=body)], ContactCreated(key="t1"))
    people = await stage.contacts(2)
    for person in people:
        await stage.emit("contact.created", person)
    await stage.drain()
    assert {make_email.unsubscribe for make_email in stage.outside.letters} == {
        (await link(stage, person),) for person in people
    }
    for email in stage.outside.letters:
        assert email.body == f"Hello Ann\n{email.unsubscribe[0]}"
    stored = await stage.effect(people[0])
    assert "unsubscribe/" not in stored["payload"], "screens show the mark, not the link"


async def test_transactional_email_has_no_unsubscribe_header(stage: Stage) -> None:
    steps: Steps = [
        SendEmail(subject="Invoice", body="{{ unsubscribe_url }}", transactional=True),
        Notify(to="everyone", title="Hi", body="x", email=True),
    ]
    await stage.world.person("owner", stage.account)
    await stage.workflow(steps, ContactCreated(key="t1"))
    person = await stage.contact()
    await stage.emit("contact.created", person)
    for _ in range(3):
        await stage.drain()
    assert [(make_email.subject, tuple(make_email.unsubscribe)) for make_email in stage.outside.letters] == [
        ("Invoice", ()), ("Hi", ()),
    ]  # fmt: skip
    assert stage.outside.letters[0].body == await link(stage, person)


async def test_every_attempt_has_the_same_headers(stage: Stage) -> None:
    await stage.workflow([SendEmail(subject="Hi", body="x")], ContactCreated(key="t1"))
    person = await stage.contact()
    stage.outside.answers = [Refused("later", permanent=False)]
    await stage.emit("contact.created", person)
    await stage.drain()
    await stage.drain(hours=2)
    first, second = stage.outside.letters
    assert (first.unsubscribe, first.key) == (second.unsubscribe, second.key)
    assert first.unsubscribe


async def test_contact_who_follows_the_link_gets_no_further_email(stage: Stage) -> None:
    steps: Steps = [
        SendEmail(subject="First", body="x"),
        Wait(amount=1, unit=Unit.DAYS),
        SendEmail(subject="Second", body="x"),
        SendEmail(subject="Invoice", body="x", transactional=True),
    ]
    await stage.workflow(steps, ContactCreated(key="t1"))
    person = await stage.contact()
    await stage.emit("contact.created", person)
    await stage.drain()
    [first] = stage.outside.letters
    path = first.unsubscribe[0].removeprefix(stage.runtime.settings.base_url)
    async with stage.world.client() as client:
        assert (await client.post(path, data={"List-Unsubscribe": "One-Click"})).status_code == 200
    await stage.drain(hours=25)
    assert [make_email.subject for make_email in stage.outside.letters] == ["First", "Invoice"]
    skipped = await stage.row(
        "select x.outcome, x.detail::text from enrollment_executions x join enrollments e "
        "on e.id = x.enrollment_id where e.contact_id = $1 and x.step_key = 's3'",
        person,
    )
    assert skipped["outcome"] == "skipped"
    assert "denied consent" in skipped["detail"]


async def test_the_mailto_comes_after_the_link(stage: Stage) -> None:
    settings = msgspec.structs.replace(stage.runtime.settings, unsubscribe_email="leave us@example.com")
    stage.runtime = replace(stage.runtime, settings=settings)
    await stage.workflow([SendEmail(subject="Hi", body="x")], ContactCreated(key="t1"))
    person = await stage.contact()
    await stage.emit("contact.created", person)
    await stage.drain()
    assert list(stage.outside.letters[0].unsubscribe) == [
        await link(stage, person), "mailto:leave%20us@example.com?subject=unsubscribe",
    ]  # fmt: skip


async def test_headers_are_sent_unchanged(stage: Stage) -> None:
    """Long headers are not turned into encoded words, in which no mail program finds an address."""
    server = ScriptedSmtpServer({})
    long_key = f"{stage.account}:{'7' * 60}"
    async with listening(server) as mailer:
        await mailer.send(msgspec.structs.replace(make_email(key=long_key), unsubscribe=(LINK, MAILTO)))
    lines = server.data.decode().split("\r\n")
    assert f"List-Unsubscribe: <{LINK}>, <{MAILTO}>" in lines
    assert "List-Unsubscribe-Post: List-Unsubscribe=One-Click" in lines
    assert any(re.fullmatch(r"Message-ID: <[^ ]+@acme\.example>", line) for line in lines)
    assert f"X-Switchyard-Key: {long_key}" in lines
    read = message_from_bytes(server.data, policy=policy.default)
    assert read["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_no_header_without_a_link() -> None:
    message = compose(make_email(), FROM)
    assert "List-Unsubscribe" not in message
    assert "List-Unsubscribe-Post" not in message


def test_a_line_break_in_a_link_is_refused() -> None:
    with pytest.raises(ValueError, match="line break"):
        compose(Email(recipient="a@x.example", subject="s", body="b", key="k", account_id="a",
                       unsubscribe=("https://x.example/\r\nBcc: b@x.example",)), FROM)  # fmt: skip
