"""Sets up logging (`configure`): JSON for machines, columns for humans.

Every line is redacted. Tracebacks leave out the values of variables, which could be passwords or personal
data."""

import logging
import sys
import traceback
from types import TracebackType

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from app.redaction import hide_values, passwords_in, redact, redact_value
from app.settings import Settings


class RedactingFormatter(logging.Formatter):
    """Redacts the lines and tracebacks of the standard library's logging (uvicorn, SAQ, asyncio)."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def redact_event(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A structlog processor that removes secrets from every value, including the formatted exception."""
    return {name: redact_value(value, name) for name, value in event.items()}


def configure(log_format: str = "json", level: str = "INFO") -> None:
    """Sets up structlog and the standard library's logging. `log_format` is json or console."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    renderer: Processor = structlog.processors.JSONRenderer()
    if log_format == "console":
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact_event,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter("%(levelname)s %(name)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=number, force=True)
    for noisy in ("httpx", "httpcore", "uvicorn.access", "mail.log", "saq", "db.pool"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    sys.excepthook = print_uncaught


def hide_settings(settings: Settings) -> None:
    """Registers the secrets of the settings for redaction."""
    urls = (settings.database_url, settings.migrate_database_url, settings.redis_url, settings.smtp_url)
    hide_values(
        settings.metrics_token, settings.sms_token, settings.chat_token, settings.signing_keys,
        *(password for url in urls for password in passwords_in(url)),
    )  # fmt: skip


def print_uncaught(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    """Writes an uncaught exception to stderr without secrets."""
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, where))))
