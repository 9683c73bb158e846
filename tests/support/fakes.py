"""The only fakes: the clock, and the outside world that mail and HTTP calls go to."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from app.ports import CallOutcome, Email, HttpRequest, Message, Sent


@dataclass
class TestClock:
    """The database's clock, moved."""

    __test__ = False
    offset: timedelta = timedelta()

    def forward(self, **parts: float) -> None:
        self.offset += timedelta(**parts)

    def reset(self) -> None:
        self.offset = timedelta()


@dataclass
class Outside:
    """Takes and remembers all that leaves; `answers` are given first, in order, then `Sent`."""

    letters: list[Email] = field(default_factory=list)
    calls: list[HttpRequest] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    answers: list[CallOutcome] = field(default_factory=list)
    mails: list[tuple[str, str, str]] = field(default_factory=list)

    async def send(self, letter: Email) -> CallOutcome:
        self.letters.append(letter)
        self.mails.append((letter.recipient, letter.subject, letter.body))
        return self.answers.pop(0) if self.answers else Sent()

    async def call(self, call: HttpRequest) -> CallOutcome:
        self.calls.append(call)
        return self.answers.pop(0) if self.answers else Sent({"status": 200})

    async def deliver(self, message: Message) -> CallOutcome:
        self.messages.append(message)
        return self.answers.pop(0) if self.answers else Sent({"status": 202})

    def clear(self) -> None:
        for records in (self.letters, self.calls, self.messages, self.answers, self.mails):
            records.clear()


@dataclass
class Paper:
    """Takes every letter and call as a line of a file, at once: what a process sent outlives it."""

    path: str

    def _write(self, kind: str, key: str) -> None:
        with Path(self.path).open("a") as paper:
            paper.write(f"{kind} {key}\n")

    async def send(self, letter: Email) -> CallOutcome:
        self._write("email", letter.key)
        return Sent()

    async def call(self, call: HttpRequest) -> CallOutcome:
        self._write("webhook", call.key)
        return Sent({"status": 200})
