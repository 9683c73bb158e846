"""As root, the servers run as an existing user without privileges; no user is made, no mode above set."""

import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from scripts._lib.dev.terminal import Problem

CANDIDATES = ("postgres", "_postgres", "nobody", "daemon")


@dataclass(frozen=True)
class User:
    """An existing system user."""

    name: str
    uid: int
    gid: int


class As(TypedDict, total=False):
    """The arguments of `subprocess` that change the user."""

    user: int
    group: int
    extra_groups: list[int]


def servers_user() -> User | None:
    """Who runs the servers: None for ourselves (not root), else the first user there is. Raises Problem."""
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return User(name, entry.pw_uid, entry.pw_gid)
    raise Problem(
        "PostgreSQL does not run as root, and this system has none of the users "
        f"{', '.join(CANDIDATES)} to run it as; start Switchyard as an ordinary user."
    )


def run_as(user: User | None) -> As:
    """Arguments for `subprocess.Popen`."""
    return As(user=user.uid, group=user.gid, extra_groups=[]) if user else As()


def runs(user: User | None, command: list[str]) -> bool:
    """Whether a quick command succeeds as that user. Raises Problem when we may not become that user."""
    try:
        done = subprocess.run(command, capture_output=True, check=False, cwd="/", **run_as(user))
    except PermissionError as error:
        if user and not may_become(user):
            raise Problem(
                f"PostgreSQL does not run as root, and this root may not become the user {user.name} "
                f"({error}); start Switchyard as an ordinary user."
            ) from error
        return False
    except OSError:
        return False
    return done.returncode == 0


def may_become(user: User) -> bool:
    """Whether we may start a program as that user at all."""
    try:
        return subprocess.run(["/bin/sh", "-c", ":"], check=False, cwd="/", **run_as(user)).returncode == 0
    except OSError:
        return False


def reaches(user: User | None, folder: Path) -> bool:
    """Whether the user can enter every folder on the way to `folder` (which itself will be opened for it)."""
    return user is None or runs(user, ["/bin/sh", "-c", 'cd -- "$0"', str(folder.parent)])


@contextmanager
def temporary_folder(prefix: str, user: User | None) -> Iterator[Path]:
    """A temporary folder that the user can enter, removed at the end."""
    usual = Path(tempfile.gettempdir())
    place = usual if reaches(user, usual / "x") else Path("/tmp")  # noqa: S108 -- a fresh folder of ours in it
    with tempfile.TemporaryDirectory(prefix=prefix, dir=place, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if user:
            folder.chmod(0o711)
        yield folder


def give(folder: Path, user: User | None) -> None:
    """Make a folder that only that user (and root) can enter."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if user and folder.stat().st_uid != user.uid:
        os.chown(folder, user.uid, user.gid)
