"""Words to the person at the terminal: progress on stderr, problems as one sentence."""

import sys
from pathlib import Path


class Problem(Exception):
    """Something the person can mend; the message is one sentence that says what to do."""


def say(line: str) -> None:
    """Print a line of progress on stderr (stdout carries results only)."""
    print(line, file=sys.stderr, flush=True)


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, indented; empty when there is none."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join("    " + line for line in text.splitlines()[-lines:])
