"""The system user that runs the servers.

PostgreSQL refuses to run as root. As root, the servers run as an existing user without privileges; no user is
created.
"""

import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from scripts._lib.dev.terminal import ScriptError

CANDIDATES = ("postgres", "_postgres", "nobody", "daemon")


@dataclass(frozen=True)
class SystemUser:
    """An existing system user."""

    name: str
    uid: int
    gid: int


class UserArguments(TypedDict, total=False):
    """The arguments of `subprocess` that change the user."""

    user: int
    group: int
    extra_groups: list[int]


def find_servers_user() -> SystemUser | None:
    """The user who runs the servers; None when we aren't root. Raises ScriptError when there is none."""
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return SystemUser(name, entry.pw_uid, entry.pw_gid)
    raise ScriptError(
        "PostgreSQL does not run as root, and this system has none of the users "
        f"{', '.join(CANDIDATES)} to run it as; start Switchyard as an ordinary user."
    )


def run_as(user: SystemUser | None) -> UserArguments:
    """The arguments for `subprocess.Popen`."""
    return UserArguments(user=user.uid, group=user.gid, extra_groups=[]) if user else UserArguments()


def runs_as(user: SystemUser | None, command: list[str]) -> bool:
    """Whether a quick command succeeds as that user. Raises ScriptError when we can't become that user."""
    try:
        done = subprocess.run(command, capture_output=True, check=False, cwd="/", **run_as(user))
    except PermissionError as error:
        if user and not can_become(user):
            raise ScriptError(
                f"PostgreSQL does not run as root, and this root may not become the user {user.name} "
                f"({error}); start Switchyard as an ordinary user."
            ) from error
        return False
    except OSError:
        return False
    return done.returncode == 0


def can_become(user: SystemUser) -> bool:
    """Whether we can start any program as that user."""
    try:
        return subprocess.run(["/bin/sh", "-c", ":"], check=False, cwd="/", **run_as(user)).returncode == 0
    except OSError:
        return False


def can_reach(user: SystemUser | None, folder: Path) -> bool:
    """Whether the user can enter every parent of `folder`."""
    return user is None or runs_as(user, ["/bin/sh", "-c", 'cd -- "$0"', str(folder.parent)])


@contextmanager
def temporary_folder(prefix: str, user: SystemUser | None) -> Iterator[Path]:
    """A temporary folder that the user can enter, removed at the end."""
    default = Path(tempfile.gettempdir())
    parent = default if can_reach(user, default / "x") else Path("/tmp")  # noqa: S108 -- for a new folder
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if user:
            folder.chmod(0o711)
        yield folder


def create_private_folder(folder: Path, user: SystemUser | None) -> None:
    """Create a folder that only that user (and root) can enter."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if user and folder.stat().st_uid != user.uid:
        os.chown(folder, user.uid, user.gid)
