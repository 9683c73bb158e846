"""Removes secrets from text that is written to logs, traces or stored errors.

`redact` is the entry point; `app.web.logs` and `app.web.span_export` call it for everything they write. It
recognizes secrets in four ways: by their form (access tokens, JWTs), by the name next to them (`password=…`,
`Authorization: …`), by their position in a path (routes with a secret, see `hide_paths`), and by their value
(secrets of the settings, see `hide_values`)."""

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote, quote_plus, unquote, urlsplit

from app.json_types import Json

HIDDEN = "[hidden]"
# Path parameters with these names hold a secret; tests/web/test_secrets.py checks that every public route
# with a text parameter uses one of these names.
SECRET_PARAMETERS = frozenset({"token", "secret", "signature"})
SHORTEST = 6  # characters; shorter values could be ordinary words
SHORT = 80  # characters of a text whose redaction is remembered

# Access tokens, webhook URLs and their secrets; JWTs; session secrets; 256 random bits as base64url, which
# has mixed case, unlike names in the code. All patterns take linear time.
_FORMS = re.compile(
    r"(?:swy_|whsec_|wh_)[\w\-+/=]{8,}"
    r"|(?<![\w-])eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"
    r"|[0-9a-f]{32}\.[\w-]{20,}"
    r"|(?<![\w-])(?=[\w-]*[A-Z])(?=[\w-]*[a-z])[\w-]{40,}",
    re.ASCII,
)
_SCHEMES = re.compile(r"\b(bearer|basic|digest)(\s+|%20|\+)[^\s\"',;)]{6,}", re.IGNORECASE)
_WORD = (
    r"(?:pass(?:word|wd|phrase)|secret|token|api[_\-]?key|authorization|cookie|signature|credential)"
    r"s?(?!_?(?:id|ids|at|kind|name|type)\b)"
)
_TEXT = r"\\*\"(?:[^\"\\]|\\.)*\"?|\\*'(?:[^'\\]|\\.)*'?"
_NAMED = re.compile(
    rf"({_WORD}[\w.\-\]]{{0,40}}(?:\\*[\"']?\s*(?:=|:|%3D)\s*|\\*[\"'],\s*(?=b?\\*[\"']))(?-i:b(?=\\*[\"']))?)"
    rf"(?!(?:str|uuid)\}}|\[hidden)({_TEXT}|[^\s\"'&,;)}}\]]+)",
    re.IGNORECASE | re.ASCII,
)
_SECRET_NAME = re.compile(_WORD, re.IGNORECASE | re.ASCII)
_USER_INFO = re.compile(r"(://)[^\s/@\"']+@")
_FILE = r"[\w/]+\.(?:py|html)\b"  # a file in a traceback, in a folder with the name of a route
_REST = r"[^\s?#\"'&<>,;)\]}]+"  # the rest of a path
# Messages of PostgreSQL, its driver and SQLAlchemy that repeat values of a statement.
_DATABASE = re.compile(r"((?:DETAIL|HINT|CONTEXT):|\[parameters:|query argument \$\d+:).*")


class _Secrets:
    """The registered secrets of this process: routes with a secret in the path, and values of the
    settings."""

    def __init__(self) -> None:
        self.templates: set[str] = set()
        self.values: list[str] = []  # the longest first
        self.paths: re.Pattern[str] | None = None


_secrets = _Secrets()


def hide_paths(templates: Iterable[str]) -> None:
    """Registers the routes that have a secret in the path; their paths are redacted whatever the method, the
    status and the rest of the path. `templates` are the paths of all routes, such as `/hooks/{token}`."""
    _secrets.templates |= {_prefix(template) for template in templates} - {""}
    _redact_short.cache_clear()
    if _secrets.templates:
        before = "|".join(sorted(_secrets.templates))
        _secrets.paths = re.compile(
            rf"((?:{before})(?:/|%2F)++)(?!{_FILE}|{{|\[hidden){_REST}", re.IGNORECASE
        )


def _prefix(template: str) -> str:
    """The pattern of the text before the first secret parameter of a route; "" if it has none."""
    parts: list[str] = []
    for part in template.strip("/").split("/"):
        if part.startswith("{") and part.strip("{}").partition(":")[0] in SECRET_PARAMETERS:
            return "(?:/|%2F)+".join(["", *parts])
        parts.append(r"[^/\s]+" if part.startswith("{") else re.escape(part))
    return ""


def hide_values(*values: str) -> None:
    """Registers values to redact everywhere, in plain and URL-encoded form."""
    for value in values:
        if len(value) >= SHORTEST:
            spelled = {*_secrets.values, value, quote(value, safe=""), quote_plus(value)}
            _secrets.values = sorted(spelled, key=len, reverse=True)
    _redact_short.cache_clear()


def passwords_in(url: str) -> tuple[str, str]:
    """The password in a URL such as that of the database, URL-encoded and decoded; "" if there is none."""
    try:
        written = urlsplit(url).password or ""
    except ValueError:
        return "", ""
    return written, unquote(written)


def redact(text: str, *values: str) -> str:
    """The text with its secrets replaced by `HIDDEN`. `values` are additional values to hide."""
    return _redact(text, *values) if values or len(text) > SHORT else _redact_short(text)


@lru_cache(maxsize=1024)
def _redact_short(text: str) -> str:
    """Methods, levels, paths and ids are in every line of the log."""
    return _redact(text)


def _redact(text: str, *values: str) -> str:
    for value in (*_secrets.values, *(extra for extra in values if len(extra) >= SHORTEST)):
        text = text.replace(value, HIDDEN)
    if _secrets.paths is not None:
        text = _secrets.paths.sub(rf"\1{HIDDEN}", text)
    text = _USER_INFO.sub(rf"\1{HIDDEN}@", text)
    text = _DATABASE.sub(rf"\1 {HIDDEN}", text)
    text = _FORMS.sub(HIDDEN, text)
    text = _SCHEMES.sub(rf"\1 {HIDDEN}", text)
    return _NAMED.sub(rf"\1{HIDDEN}", text)


def redact_value(value: object, name: str = "") -> Json:
    """Anything that a log line or a span has, as JSON without secrets at any depth; all of it is hidden if
    its name suggests a secret."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if name and _SECRET_NAME.search(name):
        return HIDDEN
    if isinstance(value, dict):
        return {redact(str(key)): redact_value(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_value(item) for item in value]
    return redact(value if isinstance(value, str) else repr(value))
