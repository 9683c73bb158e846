"""Small files written whole or not at all, and the data folder's own state and secrets."""

import json
import os
import secrets
from pathlib import Path
from typing import Any

from scripts._lib.dev.terminal import Problem

SECRETS = ("postgres", "app_owner", "app_user", "valkey")


def write_whole(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file so that a reader, or a crash, sees the old text or the new; `mode` is its mode."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    part.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty when there is no such file. Raises Problem when it cannot be read."""
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Problem(f"{path} cannot be read ({error}); restore it from a backup.") from error
    if not isinstance(value, dict):
        raise Problem(f"{path} does not hold what it should; restore it from a backup.")
    return value


def load_secrets(path: Path) -> dict[str, str]:
    """The generated passwords (hexadecimal), made on the first call and kept with mode 0600."""
    known = read_json(path)
    missing = [name for name in SECRETS if not known.get(name)]
    if missing:
        known |= {name: secrets.token_hex(24) for name in missing}
        write_whole(path, json.dumps(known, indent=1) + "\n", 0o600)
    elif path.stat().st_mode & 0o077:
        path.chmod(0o600)
    return {str(name): str(value) for name, value in known.items()}
