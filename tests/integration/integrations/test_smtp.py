"""What a mail server may do, and what it means."""

from email import message_from_bytes, policy

import pytest

from app.email_addresses import mailable
from app.integrations import smtp
from app.ports import Refused, Sent, Unknown
from tests.support.smtp_server import ScriptedSmtpServer, listening, make_email


async def test_contents_of_the_message() -> None:
    server = ScriptedSmtpServer({})
    async with listening(server) as mailer:
        outcome = await mailer.send(make_email(sender="Olive", reply_to="olive@acme.example"))
    assert isinstance(outcome, Sent)
    message = message_from_bytes(server.data.replace(b"\r\n..\r\n", b"\r\n.\r\n"), policy=policy.default)
    assert message["From"] == "Olive <no-reply@acme.example>"
    assert message["To"] == "ann@people.example"
    assert message["Subject"] == "Grüße"
    assert message["Reply-To"] == "olive@acme.example"
    assert message["Message-ID"] == "<e1.3@acme.example>"
    assert (message["X-Switchyard-Key"], message["X-Switchyard-Account"]) == ("e1:3", "a1")
    assert message.get_content().splitlines() == ["Hello", ".", "Bye"]


async def test_a_domain_in_letters_is_mailed_in_ascii() -> None:
    server = ScriptedSmtpServer({})
    async with listening(server) as mailer:
        outcome = await mailer.send(make_email(recipient="idn@bücher.example", reply_to="ana@exämple.de"))
    assert isinstance(outcome, Sent), outcome
    assert "RCPT TO:<idn@xn--bcher-kva.example>" in server.lines
    message = message_from_bytes(server.data, policy=policy.default)
    assert (message["To"], message["Reply-To"]) == ("idn@xn--bcher-kva.example", "ana@xn--exmple-cua.de")


@pytest.mark.parametrize("address", ["ünï@exämple.de", "zoë@example.com"])
async def test_letters_before_the_at_need_a_server_that_takes_them(address: str) -> None:
    server = ScriptedSmtpServer({"EHLO": "250-hi\r\n250 SMTPUTF8"})
    async with listening(server) as mailer:
        sent = await mailer.send(make_email(recipient=address))
    assert isinstance(sent, Sent), sent
    mailed = mailable(address)
    assert "MAIL FROM:<no-reply@acme.example> SMTPUTF8" in server.lines
    assert f"RCPT TO:<{mailed}>" in server.lines
    assert f"To: {mailed}".encode() in server.data
    async with listening(ScriptedSmtpServer({})) as mailer:
        refused = await mailer.send(make_email(recipient=address))
    assert isinstance(refused, Refused), refused
    assert (refused.permanent, refused.error_class) == (True, "address")
    assert f"can't send to “{mailed}”" in refused.error


async def test_an_address_with_two_dots_is_mailed_as_it_is() -> None:
    server = ScriptedSmtpServer({})
    async with listening(server) as mailer:
        assert isinstance(await mailer.send(make_email(recipient="a..b@docomo.ne.jp")), Sent)
    assert "RCPT TO:<a..b@docomo.ne.jp>" in server.lines


async def test_an_old_address_whose_domain_is_none_is_refused_for_good() -> None:
    async with listening(ScriptedSmtpServer({})) as mailer:
        refused = await mailer.send(make_email(recipient="ana@ex_ämple.de"))
    assert isinstance(refused, Refused), refused
    assert (refused.permanent, refused.answered) == (True, False)
    assert refused.error == "The domain of “ana@ex_ämple.de” isn't valid."


@pytest.mark.parametrize(
    ("answers", "permanent"),
    [
        ({"": "554 no"}, True), ({"MAIL": "451 later"}, False), ({"RCPT": "450 greylisted"}, False),
        ({"RCPT": "550 no such user"}, True), ({"DATA": "451 later"}, False), ({".": "452 full"}, False),
        ({".": "554 spam"}, True), ({"": ""}, False), ({"MAIL": ""}, False), ({"RCPT": ""}, False),
    ],
)  # fmt: skip
async def test_refusals(answers: dict[str, str], permanent: bool) -> None:
    async with listening(ScriptedSmtpServer(answers)) as mailer:
        outcome = await mailer.send(make_email())
    assert isinstance(outcome, Refused), outcome
    assert outcome.permanent is permanent


@pytest.mark.parametrize("answer", ["", "-"])
async def test_silence_after_the_data_is_in_doubt(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "TIMEOUT", 0.5)
    async with listening(ScriptedSmtpServer({".": answer})) as mailer:
        outcome = await mailer.send(make_email())
    assert isinstance(outcome, Unknown), outcome


@pytest.mark.parametrize(
    ("response", "stage", "message"),
    [(1.0, 20.0, "no answer within 1 seconds"), (10.0, 2.0, "it took longer than 2 seconds")],
)
async def test_the_time_limit_that_ended_the_call_is_named(
    response: float, stage: float, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "TIMEOUT", response)
    monkeypatch.setattr(smtp, "STAGE_SECONDS", stage)
    async with listening(ScriptedSmtpServer({"RCPT": "-"})) as mailer:
        refused = await mailer.send(make_email())
    async with listening(ScriptedSmtpServer({".": "-"})) as mailer:
        in_doubt = await mailer.send(make_email())
    assert isinstance(refused, Refused), refused
    assert isinstance(in_doubt, Unknown), in_doubt
    assert refused.error == f"The mail server can't be reached: {message}"
    assert in_doubt.error.endswith(f"while the mail server was accepting the email: {message}")


@pytest.mark.parametrize("odd", ["\udce9", "\x00"])
async def test_undecodable_server_text_changes_no_outcome(odd: str) -> None:
    """Such as a reply in Latin-1: its bytes are not UTF-8."""
    async with listening(ScriptedSmtpServer({".": f"250 re{odd}u"})) as mailer:
        sent = await mailer.send(make_email())
    assert isinstance(sent, Sent), sent
    assert str(sent.detail["answer"]).encode().replace(b"?", b"") == b"reu"
    async with listening(ScriptedSmtpServer({"RCPT": f"550 refus{odd}"})) as mailer:
        refused = await mailer.send(make_email())
    assert isinstance(refused, Refused), refused
    assert refused.permanent
    assert refused.error.encode().replace(b"?", b"").endswith(b"550 refus")


async def test_connection_closed_after_acceptance_is_sent() -> None:
    async with listening(ScriptedSmtpServer({"QUIT": ""})) as mailer:
        assert isinstance(await mailer.send(make_email()), Sent)


async def test_refused_connection_may_be_retried() -> None:
    async with listening(ScriptedSmtpServer({})) as mailer:
        pass
    outcome = await mailer.send(make_email())
    assert isinstance(outcome, Refused)
    assert not outcome.permanent


@pytest.mark.parametrize("field", ["recipient", "subject", "sender", "reply_to", "key"])
@pytest.mark.parametrize("line_break", ["\r\nBcc: all@people.example", "\n", "\r"])
async def test_line_breaks_in_headers_are_refused(field: str, line_break: str) -> None:
    server = ScriptedSmtpServer({})
    async with listening(server) as mailer:
        outcome = await mailer.send(make_email(**{field: f"a@b.example{line_break}"}))
    assert isinstance(outcome, Refused)
    assert outcome.permanent
    assert server.data == b""


@pytest.mark.parametrize(
    "recipient",
    [
        "",
        "nobody",
        "a b@c",
        "<a@b.example>",
        "a@b.example, c@d.example",
        "jörg@b.example",
        "a@b\u00ad.example",
    ],
)
async def test_invalid_recipients(recipient: str) -> None:
    server = ScriptedSmtpServer({})
    async with listening(server) as mailer:
        outcome = await mailer.send(make_email(recipient=recipient))
    assert isinstance(outcome, Refused)
    assert outcome.permanent
    assert server.data == b""
