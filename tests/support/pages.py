"""What a page offers, read from its HTML and from its JSON."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

IGNORED_INPUTS = {"account", "inputs"}


@dataclass
class Form:
    method: str
    action: str
    inside_main: bool
    names: set[str] = field(default_factory=set)
    switches: set[str] = field(default_factory=set)  # names of check boxes and of lists that take several
    inputs: set[str] = field(default_factory=set)  # names that its hidden fields `inputs` list


class Page(HTMLParser):
    """Links and forms of one page; a button's `formaction` counts as a form of its own."""

    def __init__(self, text: str, path: str) -> None:
        super().__init__()
        self.path = path
        self.links: list[str] = []
        self.forms: list[Form] = []
        self.title = ""
        self._main = 0
        self._open: Form | None = None
        self._by_id: dict[str, Form] = {}
        self._late: list[tuple[str, str]] = []
        self._extra: list[tuple[Form, str]] = []
        self._in_title = False
        self.feed(text)
        for owner, name in self._late:
            if owner in self._by_id:
                self._by_id[owner].names.add(name)
        # The other controls of such a form are sent along, and ignored there.
        self.forms += [Form("POST", action, form.inside_main) for form, action in self._extra]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "main":
            self._main += 1
        elif tag == "title":
            self._in_title = True
        elif tag == "a" and "href" in attributes and "download" not in attributes:
            self.links.append(attributes["href"])
        elif tag == "form":
            method = attributes.get("method", "get").upper()
            self._open = Form(method, attributes.get("action") or self.path, self._main > 0)
            self.forms.append(self._open)
            if "id" in attributes:
                self._by_id[attributes["id"]] = self._open
        elif tag in ("input", "select", "textarea", "button"):
            self._control(attributes)

    def _control(self, attributes: dict[str, str]) -> None:
        name = attributes.get("name")
        if (
            self._open is not None
            and name
            and (attributes.get("type") == "checkbox" or "multiple" in attributes)
        ):
            self._open.switches.add(name)
        if self._open is not None and name == "inputs":
            self._open.inputs.update(attributes["value"].split())
        if attributes.get("formaction") and self._open is not None:
            self._extra.append((self._open, attributes["formaction"]))
        if not name or name in IGNORED_INPUTS:
            return
        if "form" in attributes:
            self._late.append((attributes["form"], name))
        elif self._open is not None:
            self._open.names.add(name)

    def handle_endtag(self, tag: str) -> None:
        if tag == "main":
            self._main -= 1
        elif tag == "form":
            self._open = None
        elif tag == "title":
            self._in_title = False

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data

    def offers(self) -> dict[str, set[str]]:
        """Where forms of the page itself post to, and the names that they send."""
        offers: dict[str, set[str]] = {}
        for form in self.forms:
            if form.method == "POST" and form.inside_main:
                offers.setdefault(form.action, set()).update(form.names)
        return offers


def actions_in(body: Any) -> Iterator[dict[str, Any]]:
    """Every action in a JSON page, those of its items too."""
    if isinstance(body, dict):
        for key, value in body.items():
            if key == "actions" and isinstance(value, list):
                yield from (action for action in value if isinstance(action, dict) and "href" in action)
            yield from actions_in(value)
    elif isinstance(body, list):
        for value in body:
            yield from actions_in(value)


def unexpected(names: set[str], fields: set[str]) -> set[str]:
    """Inputs that the action does not have; `fields.x=` and `rows.0.y=` belong to `fields` and `rows`."""
    return {name for name in names if name not in fields and name.partition(".")[0] not in fields}


def local(link: str, base_path: str) -> str | None:
    """The path and query of a link inside the app, None for others."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc or (not parts.path and not parts.query):
        return None
    path = parts.path or base_path
    if not path.startswith("/"):
        return None
    return f"{path}?{parts.query}" if parts.query else path
