"""All settings, read once from the environment (`Settings.from_env`). A test compares them with the README's
table."""

import os
from pathlib import Path
from typing import Literal

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The environment variables are the field names in capitals; an empty value counts as not set."""

    database_url: str = "postgresql://app_user@127.0.0.1:5432/switchyard"
    migrate_database_url: str = ""
    redis_url: str = "redis://127.0.0.1:6379/0"
    data_dir: Path = Path(".local")
    base_url: str = "http://127.0.0.1:8000"
    allowed_origins: list[str] = []
    signing_keys: str = ""
    smtp_url: str = "smtp://127.0.0.1:1025"
    mail_from: str = "Switchyard <no-reply@switchyard.test>"
    unsubscribe_email: str = ""
    sms_url: str = ""
    sms_token: str = ""
    chat_url: str = ""
    chat_token: str = ""
    egress_allow_loopback: bool = False
    rate_limit_per_minute: int = 600
    rate_limit_per_token: int = 0
    max_body_bytes: int = 25_000_000
    max_connections_per_client: int = 100
    drain_seconds: float = 0
    log_format: str = "json"
    log_level: str = "INFO"
    otel_exporter_otlp_endpoint: str = ""
    metrics_token: str = ""
    demo: bool = False
    mailbox_port: int = 1025
    mailbox_http_port: int = 1026
    trusted_proxies: int = 0
    database_pool_size: int = 10
    read_timeout_seconds: float = 5
    search_timeout_seconds: float = 10
    write_timeout_seconds: float = 10
    bulk_timeout_seconds: float = 60
    heavy_queries_per_account: int = 2
    worker_concurrency: int = 4
    executor: Literal["inline", "saq"] = "saq"
    lease_seconds: float = 60
    watchdog_seconds: float = 30

    @property
    def gone_seconds(self) -> float:
        """Seconds without a heartbeat after which a worker counts as dead."""
        return min(15.0, self.lease_seconds)

    @property
    def secure(self) -> bool:
        """Whether the app is behind HTTPS, so that cookies can be `__Host-` and Secure; browsers refuse those
        on plain HTTP."""
        return self.base_url.startswith("https://")

    @classmethod
    def from_env(cls, environ: dict[str, str] | None = None) -> "Settings":
        """The settings from `environ`, by default `os.environ`. Raises `SystemExit` with a message when a
        value can't be read."""
        source = os.environ if environ is None else environ
        raw: dict[str, str | list[str]] = {}
        for field in msgspec.structs.fields(cls):
            value = source.get(field.name.upper(), "").strip()
            if value:
                raw[field.name] = value.split(",") if field.name == "allowed_origins" else value
        try:
            return msgspec.convert(raw, cls, strict=False, dec_hook=_path)
        except msgspec.ValidationError as error:
            raise SystemExit(f"A setting can't be read: {error}. See .env.example.") from error


def _path(kind: type, value: str) -> Path:
    if kind is Path:
        return Path(value)
    raise NotImplementedError(kind)
