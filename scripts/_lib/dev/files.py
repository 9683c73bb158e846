"""Small files that are written completely or not at all, and the generated passwords."""

import json
import os
import secrets
from pathlib import Path
from typing import Any

from scripts._lib.dev.terminal import ScriptError

SECRETS = ("postgres", "app_owner", "app_user", "valkey")


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file so that a reader, or a crash, sees the old text or the new. `mode` is its file mode."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    part.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty when there is no file. Raises ScriptError when it can't be read."""
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ScriptError(f"{path} cannot be read ({error}); restore it from a backup.") from error
    if not isinstance(value, dict):
        raise ScriptError(f"{path} doesn't contain a JSON object; restore it from a backup.")
    return value


def load_secrets(path: Path) -> dict[str, str]:
    """The passwords (hexadecimal), generated on the first call and stored with mode 0600."""
    passwords = read_json(path)
    missing = [name for name in SECRETS if not passwords.get(name)]
    if missing:
        passwords |= {name: secrets.token_hex(24) for name in missing}
        write_atomically(path, json.dumps(passwords, indent=1) + "\n", 0o600)
    elif path.stat().st_mode & 0o077:
        path.chmod(0o600)
    return {str(name): str(value) for name, value in passwords.items()}
