"""Our web server as the benchmark uses it: signed in as the owner, with a token for JSON and cookies for
pages."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import psutil

from scripts._lib.bench.app_processes import app_process
from scripts._lib.bench.http.load_generator import Request, build_request
from scripts._lib.bench.http.seeds import PASSWORD, Seeded
from scripts._lib.bench.testbed import Testbed
from scripts._lib.dev.processes import free_port
from scripts._lib.dev.terminal import ScriptError

PAGE_TYPES = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
ENCODINGS = "gzip, deflate, br"


@dataclass(frozen=True)
class Site:
    """A running `switchyard web`: its port, its process, and how an owner is signed in."""

    port: int
    process: psutil.Process
    token: str
    cookies: str

    def signed_in_as(self, seeded: Seeded) -> "Site":
        """The same web server, signed in as the owner of another account."""
        token, cookies = sign_in(f"http://127.0.0.1:{self.port}", seeded)
        return Site(self.port, self.process, token, cookies)

    def json(
        self, target: str, method: str = "GET", body: bytes = b"", statuses: tuple[int, ...] = (200,)
    ) -> Request:
        """A request as a script sends it."""
        headers = {"Accept": "application/json", "Authorization": f"Bearer {self.token}"}
        if body:
            headers["Content-Type"] = "application/json"
        return build_request(method, target, headers, body, statuses)

    def page(self, target: str, encodings: str = ENCODINGS) -> Request:
        """A request as a browser sends it."""
        headers = {"Accept": PAGE_TYPES, "Accept-Encoding": encodings, "Cookie": self.cookies}
        return build_request("GET", target, headers)


@contextmanager
def running_site(testbed: Testbed, seeded: Seeded, **values: str) -> Iterator[Site]:
    """`switchyard web`, signed in as the owner of the account; `values` are added to its environment."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with app_process(testbed, "web", "--port", str(port), BASE_URL=base, **values) as process:
        token, cookies = sign_in(base, seeded)
        yield Site(port, process, token, cookies)


def sign_in(base: str, seeded: Seeded) -> tuple[str, str]:
    """A token for scripts, and the cookies of a browser as one header."""
    form = {"email": seeded.email, "password": PASSWORD}
    with httpx.Client(base_url=base, trust_env=False, timeout=30) as client:
        script = client.post("/sessions", json=form, headers={"accept": "application/json"})
        if script.status_code != 201:
            raise ScriptError(f"Signing in was answered with {script.status_code}: {script.text[:300]}")
        browser = client.post("/sessions", data=form, headers={"accept": PAGE_TYPES, "origin": base})
        if browser.status_code != 303 or not client.cookies:
            raise ScriptError(f"Signing in by the form was answered with {browser.status_code}.")
        return script.json()["token"], "; ".join(f"{name}={value}" for name, value in client.cookies.items())
