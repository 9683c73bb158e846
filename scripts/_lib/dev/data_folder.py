"""The data folder of `scripts/dev`: locked by one start at a time, with its state, secrets and logs.

`DataFolder.open` is the entry point, `prepare` comes next. The servers' data is elsewhere when `scripts/dev`
runs as root and the servers' user can't read the folder.
"""

import fcntl
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from scripts._lib.dev.files import load_secrets, read_json, write_atomically
from scripts._lib.dev.system_users import SystemUser, can_reach
from scripts._lib.dev.terminal import ScriptError, print_progress

MARKER = "switchyard.json"
SECRETS = "secrets.json"  # next to the servers' data, which is useless without it
LOCK = "lock"
# What the program itself may have written to a data folder before scripts/dev first used it.
OWN_ENTRIES = {"keys", "logs", "files", "imports", "run", LOCK, MARKER, f".{MARKER}.part"}
# What the other scripts keep in .local, the default folder.
TOOL_ENTRIES = {"clients", "faults", "nginx", "peers"}
FALLBACK_PARENTS = ("/var/lib", "/var/db", "/var/tmp")  # noqa: S108 -- a folder of our own is made there, never a file


class DataFolder:
    """An open and locked data folder."""

    def __init__(self, path: Path, lock: int, user: SystemUser | None) -> None:
        self.path = path
        self.user = user
        self._locks = [lock]
        self.state: dict[str, Any] = read_json(path / MARKER)

    @classmethod
    def open(cls, path: Path, user: SystemUser | None) -> "DataFolder":
        """Create the folder if necessary and lock it. Raises ScriptError."""
        path = path.expanduser().absolute()
        try:
            path.mkdir(parents=True, exist_ok=True)
            foreign = sorted({entry.name for entry in path.iterdir()} - OWN_ENTRIES - TOOL_ENTRIES)
            if foreign and not (path / MARKER).exists():
                raise ScriptError(
                    f"{path} holds files that are not Switchyard's ({', '.join(foreign[:3])}); nothing was "
                    "changed. Choose an empty or new folder with --data."
                )
            lock = acquire_lock(path / LOCK)
        except OSError as error:
            reason = error.strerror or error
            raise ScriptError(
                f"The data folder {path} cannot be written ({reason}); "
                "choose another with --data, or make it yours with chown."
            ) from error
        return cls(path, lock, user)

    def close(self) -> None:
        """Release the locks."""
        for lock in self._locks:
            os.close(lock)
        self._locks = []

    def wipe(self) -> None:
        """Remove everything but the lock and what other scripts keep, for --fresh; servers must not run."""
        for folder in {Path(self.state.get("servers", "/nowhere")), *fallback_folders(self.path)}:
            if is_servers_folder_of(folder, self.path):
                shutil.rmtree(folder)
        for entry in self.path.iterdir():
            if entry.name in {LOCK, *TOOL_ENTRIES}:
                continue
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        self.state = {}

    def prepare(self) -> None:
        """Create folders and secrets. Raises ScriptError when the secrets of existing data are gone."""
        self.update_state(switchyard=1)
        self.path.chmod(0o711 if self.user else 0o700)
        for name in ("logs", "run"):
            (self.path / name).mkdir(mode=0o700, exist_ok=True)
        servers = self.choose_servers()
        secrets = servers / SECRETS
        if (servers / "postgres" / "data" / "PG_VERSION").exists() and not secrets.exists():
            raise ScriptError(
                f"{secrets} is gone, but a database exists in {servers / 'postgres'}; "
                "restore that file from a backup, or start over with --fresh."
            )
        self.secrets = load_secrets(secrets)

    @property
    def servers(self) -> Path:
        """The folder of the servers' data: this one, unless the servers' user can't reach it."""
        return Path(self.state.get("servers") or self.path)

    def choose_servers(self) -> Path:
        """Choose the folder of the servers' data; create and lock it when it isn't this folder."""
        if self.state.get("servers") is None and self.user and not can_reach(self.user, self.path):
            self.update_state(servers=str(create_fallback_folder(self.path)))
        servers = self.servers
        if servers != self.path:
            if not is_servers_folder_of(servers, self.path):
                raise ScriptError(
                    f"The database of {self.path} was in {servers} and is gone; restore it from a backup, "
                    "or start over with --fresh."
                )
            print_progress(f"the database is in {servers}, because its user cannot read {self.path}")
            servers.chmod(0o711)
            self._locks.append(acquire_lock(servers / LOCK))
        return servers

    def update_state(self, **values: object) -> None:
        """Store values in the folder's state."""
        self.state |= values
        write_atomically(self.path / MARKER, json.dumps(self.state, indent=1, sort_keys=True) + "\n")

    def log(self, name: str) -> Path:
        """The log of one program; a large one is moved aside first."""
        path = self.path / "logs" / f"{name}.log"
        if path.exists() and path.stat().st_size > 10_000_000:
            path.replace(path.with_suffix(".log.1"))
        return path


def acquire_lock(path: Path) -> int:
    """An open file handle that holds the lock. Raises ScriptError when another start holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        other = os.read(handle, 20).decode().strip() or "unknown"
        os.close(handle)
        raise ScriptError(
            f"Switchyard is already running on {path.parent} (process {other}); stop it first, "
            "or choose another folder and port with --data and --port."
        ) from None
    os.ftruncate(handle, 0)
    os.write(handle, f"{os.getpid()}\n".encode())
    return handle


def is_servers_folder_of(folder: Path, data: Path) -> bool:
    """Whether `folder` was created for this data folder and belongs to us."""
    try:
        mark = read_json(folder / MARKER)
        return (
            mark.get("data") == str(data) and not folder.is_symlink() and folder.stat().st_uid == os.geteuid()
        )
    except OSError:
        return False


def fallback_folders(data: Path) -> list[Path]:
    """The folders outside a home that may hold the servers' data of this data folder."""
    name = "switchyard-" + hashlib.sha256(str(data).encode()).hexdigest()[:12]
    return [Path(parent) / name for parent in FALLBACK_PARENTS]


def create_fallback_folder(data: Path) -> Path:
    """Create a folder for the servers' data that their user can enter. Raises ScriptError."""
    existing = [folder for folder in fallback_folders(data) if is_servers_folder_of(folder, data)]
    if existing:
        return existing[0]
    for folder in fallback_folders(data):
        try:
            folder.mkdir(mode=0o711)
        except OSError:
            continue
        write_atomically(folder / MARKER, json.dumps({"data": str(data)}) + "\n")
        return folder
    raise ScriptError(
        f"As root, PostgreSQL runs as another user, which can read neither {data} nor a folder in "
        f"{', '.join(FALLBACK_PARENTS)}; choose a folder that every user can read with --data."
    )
