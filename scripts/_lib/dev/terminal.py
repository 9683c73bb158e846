"""What a command prints: progress on stderr, errors as one sentence."""

import sys
from pathlib import Path


class ScriptError(Exception):
    """Ends a command.

    The message is one sentence for the person at the terminal: what is wrong and what to do.
    """


def print_progress(line: str) -> None:
    """Print a line of progress on stderr (stdout carries results only)."""
    print(line, file=sys.stderr, flush=True)


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, indented; empty when there is no log."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join("    " + line for line in text.splitlines()[-lines:])
