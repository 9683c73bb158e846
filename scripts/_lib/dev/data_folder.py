"""The data folder of a local Switchyard: whose it is, one start at a time, its state, its removal."""

import fcntl
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from scripts._lib.dev.files import load_secrets, read_json, write_whole
from scripts._lib.dev.system_users import User, reaches
from scripts._lib.dev.terminal import Problem, say

MARKER = "switchyard.json"
SECRETS = "secrets.json"  # beside the servers' data, which is worth nothing without it
LOCK = "lock"
# What the program itself may have left in a data folder before scripts/dev first saw it.
KNOWN = {"keys", "logs", "files", "imports", "run", LOCK, MARKER, f".{MARKER}.part"}
ELSEWHERE = ("/var/lib", "/var/db", "/var/tmp")  # noqa: S108 -- a folder of our own is made there, never a file


class Data:
    """An opened and locked data folder. `servers` is where PostgreSQL and Valkey keep theirs."""

    def __init__(self, path: Path, lock: int, user: User | None) -> None:
        self.path = path
        self.user = user
        self._locks = [lock]
        self.state: dict[str, Any] = read_json(path / MARKER)

    @classmethod
    def open(cls, path: Path, user: User | None) -> "Data":
        """Make the folder where it is missing and lock it. Raises Problem with one sentence."""
        path = path.expanduser().absolute()
        try:
            path.mkdir(parents=True, exist_ok=True)
            strangers = sorted({entry.name for entry in path.iterdir()} - KNOWN)
            if strangers and not (path / MARKER).exists():
                raise Problem(
                    f"{path} holds files that are not Switchyard's ({', '.join(strangers[:3])}); nothing was "
                    "changed: choose an empty or new folder with --data."
                )
            lock = take_lock(path / LOCK)
        except OSError as error:
            reason = error.strerror or error
            raise Problem(
                f"The data folder {path} cannot be written ({reason}); "
                "choose another with --data, or make it yours."
            ) from error
        return cls(path, lock, user)

    def close(self) -> None:
        """Give the locks back."""
        for lock in self._locks:
            os.close(lock)
        self._locks = []

    def wipe(self) -> None:
        """Remove everything but the lock (for --fresh); servers must not run."""
        for folder in {Path(self.state.get("servers", "/nowhere")), *possible_elsewhere(self.path)}:
            if owns(folder, self.path):
                shutil.rmtree(folder)
        for entry in self.path.iterdir():
            if entry.name == LOCK:
                continue
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        self.state = {}

    def prepare(self) -> None:
        """Make the folders and the secrets. Raises Problem when the secrets of existing data are gone."""
        self.remember(switchyard=1)
        self.path.chmod(0o711 if self.user else 0o700)
        for name in ("logs", "run"):
            (self.path / name).mkdir(mode=0o700, exist_ok=True)
        servers = self.choose_servers()
        secrets = servers / SECRETS
        if (servers / "postgres" / "data" / "PG_VERSION").exists() and not secrets.exists():
            raise Problem(
                f"{secrets} is gone, but there is a database in {servers / 'postgres'}; "
                "restore that file from a backup, or begin anew with --fresh."
            )
        self.secrets = load_secrets(secrets)

    @property
    def servers(self) -> Path:
        """The folder of the servers' data: this one, unless the servers' user cannot reach it."""
        return Path(self.state.get("servers") or self.path)

    def choose_servers(self) -> Path:
        """Where the servers' data lies, made and locked where it is not this folder."""
        if self.state.get("servers") is None and self.user and not reaches(self.user, self.path):
            self.remember(servers=str(make_elsewhere(self.path)))
        servers = self.servers
        if servers != self.path:
            if not owns(servers, self.path):
                raise Problem(
                    f"The database of {self.path} lay in {servers} and is not there any more; restore it "
                    "from a backup, or begin anew with --fresh."
                )
            say(f"the database lies in {servers} (its user cannot reach {self.path})")
            servers.chmod(0o711)
            self._locks.append(take_lock(servers / LOCK))
        return servers

    def remember(self, **values: object) -> None:
        """Keep values in the folder's state."""
        self.state |= values
        write_whole(self.path / MARKER, json.dumps(self.state, indent=1, sort_keys=True) + "\n")

    def log(self, name: str) -> Path:
        """The log of one program; a long one is moved aside (once per start)."""
        path = self.path / "logs" / f"{name}.log"
        if path.exists() and path.stat().st_size > 10_000_000:
            path.replace(path.with_suffix(".log.1"))
        return path


def take_lock(path: Path) -> int:
    """An open handle that holds the lock until it is closed. Raises Problem when another start holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        other = os.read(handle, 20).decode().strip() or "unknown"
        os.close(handle)
        raise Problem(
            f"Switchyard is running already on {path.parent} (process {other}); stop that one first, "
            "or give this one a folder and a port of its own with --data and --port."
        ) from None
    os.ftruncate(handle, 0)
    os.write(handle, f"{os.getpid()}\n".encode())
    return handle


def owns(folder: Path, data: Path) -> bool:
    """Whether `folder` was made for this data folder and belongs to us."""
    try:
        mark = read_json(folder / MARKER)
        return (
            mark.get("data") == str(data) and not folder.is_symlink() and folder.stat().st_uid == os.geteuid()
        )
    except OSError:
        return False


def possible_elsewhere(data: Path) -> list[Path]:
    """The folders outside a home that may be taken for the servers of this data folder."""
    name = "switchyard-" + hashlib.sha256(str(data).encode()).hexdigest()[:12]
    return [Path(parent) / name for parent in ELSEWHERE]


def make_elsewhere(data: Path) -> Path:
    """A folder for the servers' data outside a home that their user cannot enter. Raises Problem."""
    found = [folder for folder in possible_elsewhere(data) if owns(folder, data)]
    if found:
        return found[0]
    for folder in possible_elsewhere(data):
        try:
            folder.mkdir(mode=0o711)
        except OSError:
            continue
        write_whole(folder / MARKER, json.dumps({"data": str(data)}) + "\n")
        return folder
    raise Problem(
        f"As root, PostgreSQL runs as another user, who can reach neither {data} nor a folder below "
        f"{', '.join(ELSEWHERE)}; choose a folder that every user can enter with --data."
    )
