"""Two web servers and two workers behind nginx, with the settings of docs/operating.md."""

import os
import re
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from scripts._lib.bench.testbed import Testbed
from scripts._lib.dev.app_commands import command
from scripts._lib.dev.processes import ChildProgram, free_port, spawn, wait_until_ready
from scripts._lib.dev.virtualenv import ROOT

OPERATING = ROOT / "docs" / "operating.md"
NGINX_CONF = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log info;
events {{ worker_connections 512; }}
http {{
    access_log {folder}/nginx-access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{documented}
}}
"""
START_SECONDS = 60.0


@dataclass
class Program:
    """A program that can be ended and started again."""

    child: ChildProgram
    ready: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self.process = spawn(self.child)
        wait_until_ready(self.ready, self.process, self.child, START_SECONDS)

    def end(self) -> float:
        """End it with SIGTERM; the seconds that it took."""
        assert self.process is not None
        started = time.monotonic()
        self.process.terminate()
        self.process.wait(60)
        return time.monotonic() - started

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)


@dataclass
class Deployment:
    """`base` is the public address, `direct` are the addresses of the web servers behind it."""

    base: str
    direct: list[str]
    trust: ssl.SSLContext
    folder: Path
    webs: list[Program] = field(default_factory=list)
    workers: list[Program] = field(default_factory=list)

    def proxy_errors(self) -> str:
        """The errors that the proxy logged, without refused connections: those are what a restart is."""
        lines = (self.folder / "nginx-error.log").read_text().splitlines()
        errors = [line for line in lines if "[error]" in line and "Connection refused" not in line]
        return "\n".join(errors[:20])

    def client(self, address: str = "") -> httpx.AsyncClient:
        """A client of the public address, or of one web server."""
        return httpx.AsyncClient(
            base_url=address or self.base, verify=self.trust, trust_env=False, timeout=30,
            headers={"accept": "application/json", "sec-fetch-site": "same-origin"},
        )  # fmt: skip


@contextmanager
def running_site(testbed: Testbed, nginx: Path, folder: Path, **values: str) -> Iterator[Deployment]:
    """The site on the servers of the testbed; `values` are added to the environment of its processes."""
    port, *web_ports = [free_port() for _ in range(3)]
    base = f"https://localhost:{port}"
    trust = write_certificate(folder)
    env = testbed.environment(BASE_URL=base, TRUSTED_PROXIES="1", **values)
    site = Deployment(base, [f"http://127.0.0.1:{web}" for web in web_ports], trust, folder)
    for number, (web, address) in enumerate(zip(web_ports, site.direct, strict=True)):
        log = folder / f"web-{number}.log"
        child = ChildProgram("web", command("web", "--port", str(web)), log=log, cwd=ROOT, env=env)
        site.webs.append(Program(child, partial(is_ready, address)))
    for number in range(2):
        log = folder / f"worker-{number}.log"
        worker = ChildProgram("worker", command("worker"), log=log, cwd=ROOT, env=env)
        site.workers.append(Program(worker, lambda: True))
    conf = folder / "nginx.conf"
    conf.write_text(NGINX_CONF.format(folder=folder, documented=documented_settings(port, web_ports, folder)))
    command_line = [str(nginx), "-e", str(folder / "nginx-error.log"), "-c", str(conf), "-p", str(folder)]
    proxy = Program(
        ChildProgram("nginx", command_line, log=folder / "nginx.log", cwd=folder, stop_signal=signal.SIGQUIT),
        lambda: answers(base, trust),
    )
    with ExitStack() as stack:
        programs = [*site.webs, *site.workers]
        for program in programs:  # at the same time: the first start of all creates the key that signs
            stack.callback(program.kill)
            program.process = spawn(program.child)
        for program in programs:
            assert program.process is not None
            wait_until_ready(program.ready, program.process, program.child, START_SECONDS)
        stack.callback(proxy.kill)
        proxy.start()
        yield site


def documented_settings(port: int, web_ports: list[int], folder: Path) -> str:
    """The nginx settings of docs/operating.md, with the ports, name and certificate of the test."""
    block = re.search(r"```nginx\n(.*?)```", OPERATING.read_text(), re.DOTALL)
    assert block is not None
    text = block[1]
    changes = {
        "127.0.0.1:8000": f"127.0.0.1:{web_ports[0]}",
        "127.0.0.1:8001": f"127.0.0.1:{web_ports[1]}",
        "listen 443 ": f"listen 127.0.0.1:{port} ",
        "server_name crm.example.com;": "server_name localhost;",
        "/etc/ssl/crm.example.com.pem": str(folder / "certificate.pem"),
        "/etc/ssl/crm.example.com.key": str(folder / "key.pem"),
    }
    for documented, ours in changes.items():
        assert documented in text, documented
        text = text.replace(documented, ours)
    return text


def is_ready(address: str) -> bool:
    """Whether a web server says that it is ready."""
    with suppress(httpx.HTTPError):
        return httpx.get(f"{address}/health/ready", timeout=5, trust_env=False).is_success
    return False


def answers(base: str, trust: ssl.SSLContext) -> bool:
    """Whether the proxy passes requests on."""
    with suppress(httpx.HTTPError):
        return httpx.get(f"{base}/health/live", verify=trust, timeout=5, trust_env=False).is_success
    return False


def write_certificate(folder: Path) -> ssl.SSLContext:
    """Write a certificate for this machine and its key; what a client needs to trust it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    handle = os.open(folder / "key.pem", os.O_WRONLY | os.O_CREAT, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    return ssl.create_default_context(cafile=str(folder / "certificate.pem"))
