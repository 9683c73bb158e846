"""An SMTP server that answers by a script, and an email to send to it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from app.integrations.smtp import SmtpMailer
from app.ports import Email

FROM = "Acme <no-reply@acme.example>"


def make_email(**changes: str) -> Email:
    values = {
        "recipient": "ann@people.example",
        "subject": "Grüße",
        "body": "Hello\n.\nBye",
        "key": "e1:3",
        "account_id": "a1",
    } | changes
    return Email(**values)


class ScriptedSmtpServer:
    """Answers by command; "" hangs up, "-" says nothing."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        self.answers = {"": "220 hi", "EHLO": "250 hi", "MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go",
                        ".": "250 taken", "QUIT": "221 bye"} | dict(answers)  # fmt: skip
        self.data = b""
        self.lines: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self.talk(reader, writer)
        writer.close()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        command = ""
        while True:
            reply = self.answers.get(command, "500 what")
            if reply == "":
                return
            if reply != "-":
                writer.write(f"{reply}\r\n".encode("utf-8", "surrogateescape"))
                await writer.drain()
            if command == "DATA" and reply.startswith("354"):
                self.data = (await reader.readuntil(b"\r\n.\r\n"))[:-3]
                command = "."
                continue
            line = await reader.readline()
            if not line:
                return
            self.lines.append(line.decode().strip())
            command = self.lines[-1].split()[0].upper()


@asynccontextmanager
async def listening(server: ScriptedSmtpServer) -> AsyncIterator[SmtpMailer]:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    try:
        yield SmtpMailer(f"smtp://127.0.0.1:{listener.sockets[0].getsockname()[1]}", FROM)
    finally:
        listener.close()
