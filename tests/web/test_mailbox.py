"""The mail catcher over real SMTP, and the screen that shows what it took."""

from collections.abc import AsyncIterator
from email.message import EmailMessage

import aiosmtplib
import pytest

from app.integrations.sms_chat import HttpMessageProvider
from app.mailbox.catcher import serve
from app.mailbox.message_catcher import serve_messages
from app.ports import Message, Sent
from app.settings import Settings
from tests.support.world import AccountMember, World


@pytest.fixture
async def port(world: World) -> AsyncIterator[int]:
    server = await serve(world.runtime, 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


def letter(to: str, subject: str, body: str, **headers: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Acme <no-reply@acme.test>", to, subject
    message["Message-ID"] = "<one@switchyard>"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(body)
    return message


async def post(port: int, mail: EmailMessage) -> None:
    await aiosmtplib.send(mail, hostname="127.0.0.1", port=port, start_tls=False)


async def test_message_is_stored_in_the_account_it_names(world: World, port: int) -> None:
    owner, stranger = await world.person(), await world.person()
    mail = letter("Ann@x.example", "Grüße ✓", "Hello Ann\n", X_Switchyard_Account=str(owner.account_id))
    await post(port, mail)
    async with world.script(owner) as client:
        listed = (await client.get("/mailbox")).json()
        assert [item["subject"] for item in listed["items"]] == ["Grüße ✓"]
        shown = (await client.get(listed["items"][0]["href"])).json()
        assert shown["text"].strip() == "Hello Ann"
        assert {"name": "Message-ID", "value": "<one@switchyard>"} in shown["headers"]
        assert (await client.get("/mailbox?q=ann")).json()["items"]
        assert not (await client.get("/mailbox?q=%25")).json()["items"], "a percent sign is no wildcard"
    async with world.script(stranger) as client:
        assert (await client.get("/mailbox")).json()["items"] == []
        assert (await client.get(listed["items"][0]["href"])).status_code == 404


async def test_without_a_header_the_recipients_account_is_used(world: World, port: int) -> None:
    owner = await world.person()
    await post(port, letter(owner.email, "Hi", "there"))
    with pytest.raises(aiosmtplib.SMTPDataError) as refused:
        await post(port, letter("nobody@nowhere.example", "Hi", "there"))
    assert refused.value.code == 550
    for wrong in ("not-an-id", "0197a000-0000-7000-8000-000000000000"):
        with pytest.raises(aiosmtplib.SMTPDataError):
            await post(port, letter(owner.email, "Hi", "there", X_Switchyard_Account=wrong))
    async with world.script(owner) as client:
        assert len((await client.get("/mailbox")).json()["items"]) == 1


async def test_password_links_are_visible_only_to_managers(world: World, port: int) -> None:
    owner = await world.person()
    viewer = await world.person("viewer", owner.account_id)
    await post(port, letter(owner.email, "Choose", "http://x/password-reset/abc"))
    subject_lists = [await subjects(world, who) for who in (owner, viewer)]
    assert subject_lists == [["Choose"], []]
    [row] = await world.sql("select id from mailbox_messages where account_id = $1", owner.account_id)
    async with world.browser(viewer) as client:
        assert (await client.get(f"/mailbox/{row['id']}")).status_code == 404


async def subjects(world: World, who: AccountMember) -> list[str]:
    async with world.script(who) as client:
        return [item["subject"] for item in (await client.get("/mailbox")).json()["items"]]


async def test_pages_and_markup(world: World, port: int) -> None:
    owner = await world.person()
    for number in range(32):
        await post(port, letter(owner.email, f"No {number} <b>", "<script>x</script>"))
    async with world.browser(owner) as client:
        page = await client.get("/mailbox")
        assert "No 31 &lt;b&gt;" in page.text
        assert "No 1 &lt;b&gt;" not in page.text
    async with world.script(owner) as client:
        first = (await client.get("/mailbox")).json()
        second = (await client.get(first["next"])).json()
        assert [len(first["items"]), len(second["items"])] == [30, 2]
        back = (await client.get(second["previous"])).json()
        assert [item["id"] for item in back["items"]] == [item["id"] for item in first["items"]]
    async with world.browser(owner) as client:
        shown = await client.get(f"/mailbox/{first['items'][0]['id']}")
        assert "&lt;script&gt;x" in shown.text


async def test_three_channels_in_one_list(world: World, port: int) -> None:
    owner = await world.person()
    await post(port, letter(owner.email, "Letter", "there"))
    async with serve_messages(world.runtime, 0) as number:
        base = f"http://127.0.0.1:{number}"
        provider = HttpMessageProvider(Settings(sms_url=f"{base}/sms", chat_url=f"{base}/chat"))
        for channel, to in (("sms", "+49151"), ("chat", "#sales")):
            sent = await provider.deliver(
                Message(channel=channel, to=to, text="Hi", key="k", account_id=str(owner.account_id))  # type: ignore[arg-type]  # one of the two
            )
            assert isinstance(sent, Sent)
    async with world.script(owner) as client:
        listed = (await client.get("/mailbox")).json()
        assert {item["channel"] for item in listed["items"]} == {"email", "sms", "chat"}
        only = (await client.get("/mailbox?channel=sms")).json()
        assert [(item["recipient"], item["snippet"]) for item in only["items"]] == [("+49151", "Hi")]
        assert only["channel"] == "sms"
        shown = (await client.get(only["items"][0]["href"])).json()
        assert (shown["kind"], shown["text"], shown["sender"]) == ("sms", "Hi", "Switchyard")
        assert (await client.get("/mailbox?channel=fax")).status_code in (400, 422)
    async with world.browser(owner) as client:
        page = (await client.get("/mailbox?channel=chat")).text
        assert "#sales" in page
        assert "+49151" not in page
        assert (await client.get(only["items"][0]["href"])).status_code == 200
