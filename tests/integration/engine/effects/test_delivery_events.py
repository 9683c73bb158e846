"""What comes back from outside: captured answers, and the events of emails."""

from dataclasses import replace
from typing import Any

import pytest

from app.engine.core.steps import Notify, SendEmail, SendSms, UpdateField, WaitFor, Webhook
from app.engine.core.triggers import ContactCreated, EmailEvent
from app.integrations.http import OutboundHttpClient
from app.ports import Refused
from jobs.turns import drain
from tests.support.http_server import answering, listener
from tests.support.scenario import Stage


async def entered(stage: Stage, steps: list[Any], **columns: str) -> Any:
    await stage.workflow(steps, ContactCreated(key="t1"))
    person = await stage.contact(**columns)
    await stage.emit("contact.created", person)
    return person


@pytest.mark.parametrize(
    ("body", "city"),
    [
        (b'{"place": {"city": "K\xc3\xb6ln"}}', "Köln"),
        (b'{"place": "' + b"x" * 120_000 + b'"}', ""),
        (b"no json", ""),
        (b'{"place": {"city": "a\\u0000b"}}', ""),
    ],
)
async def test_response_is_stored_if_the_step_saves_it(stage: Stage, body: bytes, city: str) -> None:
    received: list[bytes] = []
    async with listener(answering("200 OK", received, body=body)) as port:
        hook = Webhook(url=f"http://127.0.0.1:{port}/", save_as="place")
        store = UpdateField(field="city", operation="set", value="{{ response.place.place.city }}")
        person = await entered(stage, [hook, store])
        await drain(replace(stage.runtime, caller=OutboundHttpClient(allow_loopback=True)), stage.account)
    row = await stage.row("select city from contacts where id = $1", person)
    assert (row["city"] or "") == city
    effect = await stage.effect(person)
    assert effect["status"] == "sent"
    assert ('"body"' in effect["result"]) is bool(city)
    assert (await stage.enrollment(person))["status"] in ("completed", "failed")


async def test_response_is_not_stored_otherwise(stage: Stage) -> None:
    async with listener(answering("200 OK", [], body=b'{"secret": 1}')) as port:
        person = await entered(stage, [Webhook(url=f"http://127.0.0.1:{port}/")])
        await drain(replace(stage.runtime, caller=OutboundHttpClient(allow_loopback=True)), stage.account)
    assert '"body"' not in (await stage.effect(person))["result"]
    assert (await stage.enrollment(person))["data"] in ("{}", {}) or "response" not in str(
        (await stage.enrollment(person))["data"]
    )


async def events(stage: Stage) -> list[str]:
    rows = await stage.sql(
        "select kind, source from events where account_id = $1 and kind like 'email.%' order by id",
        stage.account,
    )
    assert {row["source"] for row in rows} <= {"system"}
    return [row["kind"] for row in rows]


async def test_email_events_are_emitted_when_something_subscribes(stage: Stage) -> None:
    mail = SendEmail(subject="a", body="b")
    await entered(stage, [mail])
    await stage.drain()
    assert await events(stage) == [], "no trigger listens"
    listens = await stage.workflow([SendSms(body="bounced")], EmailEvent(key="t1", event="bounced"))
    stage.outside.answers = [Refused("550 no such user", permanent=True, error_class="address")]
    person = await stage.contact(phone="+4915112345678")
    await stage.emit("contact.created", person)
    await stage.drain()
    assert await events(stage) == ["email.bounced"], (
        "a delivery would not be told: only bounces are asked for"
    )
    assert [message.text for message in stage.outside.messages] == ["bounced"]
    await stage.sql("update workflows set status = 'archived' where id = $1", listens)
    await stage.workflow([mail, WaitFor(mode="event", event="email.delivered")], ContactCreated(key="t1"))
    person = await stage.contact()
    await stage.emit("contact.created", person)
    await stage.drain()
    assert "email.delivered" in await events(stage)


async def test_a_notification_by_email_goes_to_members_only(stage: Stage) -> None:
    owner = await stage.world.person("owner", stage.account)
    other = await stage.world.person("viewer", stage.account)
    person = await entered(stage, [Notify(to="everyone", title="New: {{ contact.first_name }}", email=True)])
    await stage.sql("update contacts set email_consent = 'denied' where id = $1", person)
    await stage.drain()
    [letter] = stage.outside.letters
    assert {letter.recipient, *letter.copies} == {owner.email, other.email}
    rows = await stage.sql("select title from notifications where account_id = $1", stage.account)
    assert [row["title"] for row in rows] == ["New: Ann"] * 2
    assert (await stage.enrollment(person))["status"] == "completed"
