"""Starts the peers on the benchmark's PostgreSQL, and signs in to them.

Both read our tables as `bench_peer`, a role that bypasses row-level security, and name the account in their
queries.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import jwt
import psutil
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from scripts._lib.bench.http.load_generator import Request, build_request
from scripts._lib.bench.http.peers.environment import python_of
from scripts._lib.bench.http.processes import ENCODINGS, PAGE_TYPES
from scripts._lib.bench.http.seeds import Seeded
from scripts._lib.bench.testbed import DATABASE, Testbed
from scripts._lib.dev.processes import ChildProgram, free_port, spawn, wait_until_ready
from scripts._lib.dev.terminal import ScriptError, tail

FOLDER = Path(__file__).parent
ROLE = "bench_peer"
PASSWORD = "peer-of-bench"  # noqa: S105 -- of a server that lives for one run
CHANGELIST = "/admin/auth/contact/"
THREADS = 8
CREATE_ROLE = f"""
create role {ROLE} login bypassrls password '{PASSWORD}';
grant connect on database {DATABASE} to {ROLE};
grant usage on schema public to {ROLE};
grant select, insert on contacts, audit_logs, events, users, contact_tags, tags to {ROLE};
grant insert on counter_deltas, contact_emails to {ROLE};  -- triggers write these
create schema peer_admin authorization {ROLE};
alter role {ROLE} set search_path = peer_admin, public;
"""


@dataclass(frozen=True)
class Peer:
    """A running peer: its port, its process (and children), and the headers of a signed-in client."""

    port: int
    process: psutil.Process
    headers: dict[str, str]

    def request(
        self, target: str, method: str = "GET", body: bytes = b"", statuses: tuple[int, ...] = (200,)
    ) -> Request:
        """A signed-in request."""
        headers = self.headers | ({"Content-Type": "application/json"} if body else {})
        return build_request(method, target, headers, body, statuses)


async def create_role(testbed: Testbed) -> None:
    """Create the peers' role and the schema of Django's own tables."""
    await testbed.admin.execute(CREATE_ROLE)


@contextmanager
def running_peer(
    testbed: Testbed, name: str, command: list[str], port: int, env: dict[str, str]
) -> Iterator[psutil.Process]:
    """Run a peer until the block ends."""
    program = ChildProgram(name, command, log=testbed.folder / f"{name}.log", cwd=FOLDER, env=env)
    process = spawn(program)
    try:
        wait_until_ready(lambda: answers(port), process, program, 60.0)
        yield psutil.Process(process.pid)
    except ScriptError as error:
        raise ScriptError(f"{error}\nThe end of the log of {name}:\n{tail(program.log)}") from error
    finally:
        process.terminate()
        process.wait(30)


def answers(port: int) -> bool:
    """Whether a web server answers on this port, with whatever status."""
    try:
        httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
    except httpx.HTTPError:
        return False
    return True


def environment(testbed: Testbed, scheme: str, **values: str) -> dict[str, str]:
    """The environment of a peer."""
    url = testbed.postgres.url(ROLE, quote(PASSWORD), DATABASE)
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return inherited | {"PEER_DATABASE_URL": url.replace("postgresql", scheme, 1)} | values


@contextmanager
def running_fastapi(testbed: Testbed, seeded: Seeded) -> Iterator[Peer]:
    """The FastAPI app, and a token for it that is signed with RS256."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    claims = {"sub": str(seeded.members[0]), "account_id": str(seeded.account), "name": "Olive Owner"}
    token = jwt.encode(claims, key, algorithm="RS256")
    port = free_port()
    env = environment(testbed, "postgresql+asyncpg", PEER_PUBLIC_KEY=public.decode(), PEER_PORT=str(port))
    command = [str(python_of("fastapi")), str(FOLDER / "fastapi_app.py")]
    with running_peer(testbed, "fastapi", command, port, env) as process:
        yield Peer(port, process, {"Accept": "application/json", "Authorization": f"Bearer {token}"})


@contextmanager
def running_django(testbed: Testbed, seeded: Seeded) -> Iterator[Peer]:
    """Django's admin under gunicorn (one process, as our web server), and the cookies of a superuser."""
    python = python_of("django")
    port = free_port()
    env = environment(testbed, "postgresql", PEER_ACCOUNT=str(seeded.account))
    set_up = ChildProgram(
        "django-setup", [str(python), str(FOLDER / "django_app.py"), "admin", PASSWORD],
        log=testbed.folder / "django-setup.log", cwd=FOLDER, env=env,
    )  # fmt: skip
    if spawn(set_up).wait(120):
        raise ScriptError(f"Django could not be set up: {set_up.log.read_text()[-2000:]}")
    command = [str(python), "-m", "gunicorn", "django_app:application", "--bind", f"127.0.0.1:{port}"]
    command += ["--workers", "1", "--threads", str(THREADS), "--log-level", "warning", "--keep-alive", "60"]
    with running_peer(testbed, "django", command, port, env) as process:
        cookies = sign_in_to_admin(f"http://127.0.0.1:{port}")
        yield Peer(port, process, {"Accept": PAGE_TYPES, "Accept-Encoding": ENCODINGS, "Cookie": cookies})


def sign_in_to_admin(base: str) -> str:
    """The cookies of the superuser, as one header."""
    with httpx.Client(base_url=base, trust_env=False, timeout=30) as client:
        client.get("/admin/login/").raise_for_status()
        form = {
            "username": "admin", "password": PASSWORD, "next": "/admin/",
            "csrfmiddlewaretoken": client.cookies["csrftoken"],
        }  # fmt: skip
        answer = client.post("/admin/login/", data=form)
        if answer.status_code != 302:
            raise ScriptError(f"Signing in to Django's admin was answered with {answer.status_code}.")
        return "; ".join(f"{name}={value}" for name, value in client.cookies.items())
