"""Records what the program logs while tests run, and the secrets that are created: at the end of a session no
secret may be in the log.

It replaces only the last step, the stream that lines are printed to. Errors are printed too, so that pytest
shows them with the test that failed."""

import logging
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import argon2
import pytest
import structlog

from app.web.logs import RedactingFormatter
from app.web.tokens import Tokens

SHORTEST_PASSWORD = 12
RUNS = re.compile(r"[\w\-]{40,}", re.ASCII)
FORMS = re.compile(r"(?:swy_|whsec_|wh_)[\w\-]{20,}|eyJ[\w\-]{20,}\.[\w\-]{20,}", re.ASCII)


class Recorder:
    """`tokens` are random secrets, `passwords` whatever was hashed or compared with a hash."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.open("w", encoding="utf-8", errors="backslashreplace")
        self.tokens: set[str] = set()
        self.passwords: set[str] = set()

    def write(self, line: str) -> None:
        self.file.write(line + "\n")

    def size(self) -> int:
        self.file.flush()
        return self.path.stat().st_size

    def since(self, size: int = 0) -> str:
        """What was logged since the file had this size."""
        self.file.flush()
        return self.path.read_bytes()[size:].decode()

    def leaks(self, size: int = 0) -> list[str]:
        """The secrets that were logged, with the beginning of the text around them."""
        text = self.since(size)
        runs = set(RUNS.findall(text))
        matches = [run for run in runs if any(token in run for token in self.tokens)]
        matches += FORMS.findall(text)
        spelled = {way for password in self.passwords for way in (password, quote_plus(password))}
        return sorted({*matches, *(password for password in spelled if password in text)})


class RecordingLogger:
    """Where structlog prints its lines."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def debug(self, line: str) -> None:
        self.recorder.write(line)

    def error(self, line: str) -> None:
        self.recorder.write(line)
        sys.stderr.write(line + "\n")

    info = warning = msg = debug
    critical = error


@contextmanager
def recording(path: Path) -> Iterator[Recorder]:
    """Records until the block ends."""
    recorder = Recorder(path)
    with pytest.MonkeyPatch.context() as patch:
        _record_lines(patch, recorder)
        _record_secrets(patch, recorder)
        yield recorder
    recorder.file.close()


def _record_lines(patch: pytest.MonkeyPatch, recorder: Recorder) -> None:
    form = RedactingFormatter.format

    def record_and_format(self: RedactingFormatter, record: logging.LogRecord) -> str:
        line = form(self, record)
        recorder.write(line)
        return line

    patch.setattr(RedactingFormatter, "format", record_and_format)
    patch.setattr(structlog, "PrintLoggerFactory", lambda _: lambda *_: RecordingLogger(recorder))


def _record_secrets(patch: pytest.MonkeyPatch, recorder: Recorder) -> None:
    make, issue = secrets.token_urlsafe, Tokens.issue
    hash_, verify = argon2.PasswordHasher.hash, argon2.PasswordHasher.verify

    def make_token(length: int | None = None) -> str:
        token = make(length)
        recorder.tokens.add(token)
        return token

    def issue_token(self: Tokens, *values: Any, **options: Any) -> str:
        token = issue(self, *values, **options)
        recorder.tokens.add(token.rpartition(".")[2])
        return token

    def add_password(password: str | bytes) -> None:
        if isinstance(password, str) and len(password) >= SHORTEST_PASSWORD:
            recorder.passwords.add(password)

    def hash_password(self: argon2.PasswordHasher, password: str | bytes, **options: Any) -> str:
        add_password(password)
        return hash_(self, password, **options)

    def verify_password(self: argon2.PasswordHasher, stored: str | bytes, password: str | bytes) -> bool:
        add_password(password)
        return verify(self, stored, password)

    patch.setattr(secrets, "token_urlsafe", make_token)
    patch.setattr(Tokens, "issue", issue_token)
    patch.setattr(argon2.PasswordHasher, "hash", hash_password)
    patch.setattr(argon2.PasswordHasher, "verify", verify_password)
