"""Renders Jinja templates: escaped, strict about undefined names. `Templates.render` is the entry point.

Templates need no imports for what all of them use: the functions of `app.web.markup`, and the macros of the
files in `MACROS` and `PAGE_MACROS`, by the names there."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias
from urllib.parse import parse_qsl, unquote, urlencode
from uuid import UUID

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.filters.countries import country_choices
from app.permissions import Permission, Role
from app.settings import Settings
from app.web import formatting, markup
from app.web.actions import as_json, find_action
from app.web.forms import Form
from app.web.markdown import render_markdown
from app.web.navigation import settings_menu, sidebar
from app.web.request import Request
from app.web.static import Assets

RESTORATION = re.compile(r"/[a-z]+/[0-9a-f]{8}-[0-9a-f-]{27}/restoration")
QueryValue: TypeAlias = str | int | UUID | list[str] | tuple[str, ...] | None
NOTICES = "shared/_notices.html"
ROOT = Path(__file__).resolve().parents[2] / "templates"
MACROS = {
    "filters": "shared/filter_box.html",
    "forms": "shared/forms.html",
    "htmx": "workflows/_htmx.html",
    "live": "shared/live.html",
    "used_by": "shared/_used_by.html",
}
# Macros that read names of the page: `me`, `path`, `query`.
PAGE_MACROS = {
    "buttons": "shared/buttons.html",
    "messages": "shared/messages.html",
    "navigation": "shared/navigation.html",
}


class Templates:
    """The templates of the app. `render` returns a page or a fragment as bytes."""

    def __init__(self, settings: Settings, assets: Assets, root: Path = ROOT) -> None:
        self.settings = settings
        self.environment = Environment(
            loader=FileSystemLoader(root),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=settings.demo,  # of scripts/dev; looking at the files costs a tenth of a page
            extensions=["jinja2.ext.do"],
        )
        self.environment.filters.update(FILTERS)
        self.environment.globals.update(
            asset=assets.url,
            demo=settings.demo,
            base_url=settings.base_url,
            Permission=Permission,
            Role=Role,
            url=url,
            Form=Form,
            countries=country_choices,
            sign_out_href="/sessions/current/deletion",
            switch_href="/sessions/current/account",
            **markup.template_names(assets),
            **{name: Macros(self.environment, file) for name, file in MACROS.items()},
        )

    def render(self, name: str, request: Request, *, page: object = None, form: Form | None = None) -> bytes:
        """Renders a template with `page` and the common names: `me`, `nav`, `path`, `query`, `form`, `note`,
        `note_undo`, `notices`, `request_id`, `partial`, and those of `PAGE_MACROS`."""
        scope, me = request.scope, request.principal
        state, path = scope["state"], scope["path"]
        permissions = me.permissions if me else ()
        note, undo = (state["note"], state.get("undo", "")) if state.get("note") else note_of(request)
        names: dict[str, object] = {
            "page": page,
            "me": me,
            "nav": sidebar(permissions, path, state.get("counts", {})),
            "path": path,
            "query": scope["query_string"].decode("latin-1"),
            "form": form or state.get("form") or Form(),
            "note": note,
            "note_undo": undo_of(undo),
            "notices": state.get("notices", ()),
            "request_id": state.get("request_id", ""),
            "partial": request.wants_partial,
            "memberships": getattr(me, "memberships", ()),
            "settings_nav": settings_menu(permissions, path),
            "theme": request.cookies.get("theme", ""),
        }
        names.update({name: Macros(self.environment, file, names) for name, file in PAGE_MACROS.items()})
        rendered = self.environment.get_template(name).render(names)
        if names["notices"] and names["partial"]:  # a fragment has no place for them
            rendered += self.environment.get_template(NOTICES).render(names)
        return rendered.encode()


class Macros:
    """The macros of a file, as attributes. With `page_names` they read these names, as after an import with
    context, but the file is read once for a page and not once for each import."""

    def __init__(
        self, environment: Environment, file: str, page_names: dict[str, object] | None = None
    ) -> None:
        self._environment, self._file, self._page_names = environment, file, page_names

    def __getattr__(self, macro: str) -> object:
        template = self._environment.get_template(self._file)
        if self._page_names is None:
            return getattr(template.module, macro)
        module = template.make_module(self._page_names)
        self.__dict__.update(module.__dict__)
        return getattr(module, macro)


class Undo(msgspec.Struct):
    """The button of a message that undoes a deletion, and what it sends."""

    href: str
    fields: dict[str, str]


def note_of(request: Request) -> tuple[str, str]:
    """The message of the change before this page, which is shown once, and the URL that undoes the change
    (see `Saved`)."""
    text, _, undo = request.cookies.get("note", "").partition("|")
    if text:
        request.scope["state"]["note_shown"] = True
    return unquote(text), unquote(undo)


def undo_of(undo_url: str) -> Undo | None:
    """The undo button for this URL, None if it isn't a restoration: an attacker can plant the cookie."""
    path, _, query = undo_url.partition("?")
    return Undo(path, dict(parse_qsl(query))) if RESTORATION.fullmatch(path) else None


def url(path: str, query: str = "", **changes: QueryValue) -> str:
    """`path` with a changed query string; None removes a parameter."""
    unchanged = [
        (key, value) for key, value in parse_qsl(query, keep_blank_values=True) if key not in changes
    ]
    added = [
        (key, str(item))
        for key, value in changes.items()
        if value is not None
        for item in (value if isinstance(value, (list, tuple)) else (value,))
    ]
    return f"{path}?{urlencode(unchanged + added)}" if unchanged or added else path


FILTERS: dict[str, Callable[..., object]] = {
    "ago": formatting.ago,
    "stamp": formatting.stamp,
    "local_input": formatting.local_input,
    "iso": formatting.iso,
    "number": formatting.number,
    "bytes": formatting.size,
    "duration": formatting.duration,
    "plural": formatting.plural,
    "words": formatting.words,
    "without_ids": formatting.without_ids,
    "markdown": render_markdown,
    "named": find_action,
    "json": as_json,
}
