"""Renders Jinja templates: escaped, strict about undefined names, with the navigation of the signed-in
member. `Templates.render` is the entry point."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias
from urllib.parse import parse_qsl, unquote, urlencode
from uuid import UUID

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.permissions import Permission, Role
from app.settings import Settings
from app.web import formatting
from app.web.actions import as_json, find_action
from app.web.forms import Form
from app.web.navigation import settings_menu, sidebar
from app.web.request import Request
from app.web.static import Assets

RESTORATION = re.compile(r"/[a-z]+/[0-9a-f]{8}-[0-9a-f-]{27}/restoration")
QueryValue: TypeAlias = str | int | UUID | list[str] | tuple[str, ...] | None
ROOT = Path(__file__).resolve().parents[2] / "templates"


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
            sign_out_href="/sessions/current/deletion",
            switch_href="/sessions/current/account",
        )

    def render(self, name: str, request: Request, *, page: object = None, form: Form | None = None) -> bytes:
        """Renders a template with `page` and the common names: `me`, `nav`, `path`, `query`, `form`, `note`,
        `note_undo`, `request_id`, `partial`."""
        scope, me = request.scope, request.principal
        state, path = scope["state"], scope["path"]
        permissions = me.permissions if me else ()
        note, undo = (state["note"], state.get("undo", "")) if state.get("note") else note_of(request)
        return (
            self.environment.get_template(name)
            .render(
                page=page,
                me=me,
                nav=sidebar(permissions, path, state.get("counts", {})),
                path=path,
                query=scope["query_string"].decode("latin-1"),
                form=form or state.get("form") or Form(),
                note=note,
                note_undo=undo_of(undo),
                request_id=state.get("request_id", ""),
                partial=request.wants_partial,
                memberships=getattr(me, "memberships", ()),
                settings_nav=settings_menu(permissions, path),
                theme=request.cookies.get("theme", ""),
            )
            .encode()
        )


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
    "iso": formatting.iso,
    "number": formatting.number,
    "bytes": formatting.size,
    "duration": formatting.duration,
    "plural": formatting.plural,
    "words": formatting.words,
    "without_ids": formatting.without_ids,
    "named": find_action,
    "json": as_json,
}
