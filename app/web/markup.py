"""The smallest parts of pages as functions that return escaped markup: icons, badges, people, times, values.

`template_names` lists them as templates know them: `icon("plus")`, `data.badge(job.status)`. They are
functions and not macros because a list of fifty rows needs hundreds, and a macro takes ten times as long.
What has a structure of its own (a form, a menu, the foot of a list) is a macro in templates/shared.

Every argument is text from outside: `escape` it, then wrap the whole in `Markup`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Protocol
from uuid import UUID

from markupsafe import Markup, escape

from app.filters.countries import country_names
from app.filters.field_values import moment_of
from app.filters.money import money_text
from app.filters.normalize import PHONES, is_plausible_phone
from app.web.formatting import ago, number, without_ids, words
from app.web.static import Assets

TONES = {
    "ok": "active published live done completed sent succeeded complete ready new on verified accepted "
    "goal_met finished up",
    "info": "running claimed started importing processing current enrolled changed admin",
    "warn": "waiting pending paused queued scheduled retrying retry draft unknown in_doubt hold unsaved "
    "expiring stale invited parked",
    "bad": "failed dead error bad revoked expired failed_permanent invalid aborted refused down",
    "violet": "owner trigger event goal",
}
TONE_OF_STATE = {state: tone for tone, states in TONES.items() for state in states.split()}
ALPHABET = "abcdefghijklmnopqrstuvwxyz"
HUES = 12
MOST_TAGS = 4  # in a cell of a table
CONSENTS = ("email_consent", "sms_consent")
NO_VALUE = Markup('<span class="muted">—</span>')
EMPTY = Markup('<span class="muted">empty</span>')
YES, NO = Markup("Yes"), Markup("No")
NOT_A_NUMBER = Markup(
    ' <span class="muted" title="Not a phone number of its country, so no SMS is sent to it">not valid</span>'
)
NOT_A_COUNTRY = Markup(' <span class="muted" title="Stays as it was typed">not a known country</span>')


class TagLike(Protocol):
    """A tag of a contact."""

    name: str


class ContactLike(Protocol):
    """A contact as lists and its own page show it."""

    id: UUID
    name: str
    owner_name: str

    @property
    def tags(self) -> Sequence[TagLike]:
        """Its tags, in order."""
        ...

    def value(self, key: str, /) -> object:
        """The value of a field by its key."""
        ...


class FieldLike(Protocol):
    """A field of a contact, or a column of a list."""

    key: str
    type: str
    currency: str

    @property
    def members(self) -> Mapping[str, str]:
        """The members that it may hold, by id."""
        ...


class IconMarkup:
    """Symbols of static/icons.svg; `icon("plus")` draws one, the methods choose one for what the page shows.

    Steps and triggers name theirs in app/engine/core/steps and triggers, screens in app/web/navigation.py."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets
        self._drawn: dict[tuple[str, str], Markup] = {}
        self._url = ""

    def __call__(self, name: str, cls: str = "") -> Markup:
        """The symbol of that name. Each is drawn once: only templates and tables of ours name icons."""
        url = self._assets.url("icons.svg")
        if url != self._url:
            self._url, self._drawn = url, {}
        drawn = self._drawn.get((name, cls))
        if drawn is None:
            drawn = self._drawn[name, cls] = Markup(
                f'<svg class="icon{_more(cls)}" aria-hidden="true"><use href="{url}#i-{escape(name)}"/></svg>'
            )
        return drawn

    def of_actor(self, kind: str) -> Markup:
        """Who did something: a member, a token, a step, …"""
        icons = {"member": "user", "token": "key", "step": "flow", "import": "upload", "contact": "mail"}
        return self(icons.get(kind, "gear"))

    def of_effect(self, kind: str) -> Markup:
        """What goes out."""
        return self({"email": "mail", "sms": "phone", "chat": "msg"}.get(kind, "hook"))

    def of_change(self, kind: str) -> Markup:
        """How two versions differ."""
        return self({"added": "plus", "removed": "trash", "changed": "edit", "moved": "updown"}[kind])

    def of_tone(self, tone: str) -> Markup:
        """The tone of a message."""
        return self({"ok": "check", "info": "info"}.get(tone, "warn"))


def _more(classes: str) -> str:
    """Classes after the first in an attribute."""
    return f" {escape(classes)}" if classes else ""


def attributes(values: Mapping[str, object] | None) -> Markup:
    """Attributes from a dict: True writes the name alone, None and False write nothing."""
    return Markup(
        "".join(
            f" {escape(name)}" if content is True else f' {escape(name)}="{escape(content)}"'
            for name, content in (values or {}).items()
            if content is not None and content is not False
        )
    )


def shortcut(key: str, label: str) -> Markup:
    """The attributes of a control that a key presses (static/js/keys.js)."""
    return attributes({"data-key": key, "data-key-label": label} if key else None)


def icon_label(label: str) -> Markup:
    """The attributes of a control without a text."""
    return attributes({"aria-label": label, "title": label})


def badge(state: object, label: str = "", tone: str = "") -> Markup:
    """A state in its color; any word may be given."""
    text = str(state)
    color = tone or TONE_OF_STATE.get(text.lower(), "")
    return Markup(f'<span class="badge {escape(color)}">{escape(label or words(text))}</span>')


def avatar(name: str | None, size: str = "") -> Markup:
    """Initials in a circle of one of twelve hues; the same name always has the same one."""
    parts = (name or "?").split() or [""]
    first, last = parts[0][:1], parts[-1][:1]
    hue = (ALPHABET.find(first.lower()) + 5 * ALPHABET.find(last.lower()) + len(name or "")) % HUES
    initials = escape(first.upper() + (last.upper() if len(parts) > 1 else ""))
    return Markup(f'<span class="avatar hue-{hue}{_more(size)}" aria-hidden="true">{initials}</span>')


def person(name: str | None, href: str = "", size: str = "") -> Markup:
    """A name beside its avatar, with a link to its page."""
    inner = f'<span class="strong">{escape(name)}</span>'
    if href:
        inner = f'<a class="strong" href="{escape(href)}" data-open>{escape(name)}</a>'
    return Markup(f'<span class="person">{avatar(name, size)}{inner}</span>')


def tags(items: Sequence[TagLike]) -> Markup:
    """Tags in a cell of a table: the first ones, and how many there are besides."""
    shown = "".join([f'<span class="tag">{escape(tag.name)}</span>' for tag in items[:MOST_TAGS]])
    more = f'<span class="muted">+{len(items) - MOST_TAGS}</span>' if len(items) > MOST_TAGS else ""
    return Markup(f'<span class="tags">{shown}{more}</span>')


def time(at: datetime | None, fallback: str = "—") -> Markup:
    """A time, relative; exact on hover. static/js/app.js keeps it fresh."""
    if at is None:
        return Markup(f'<span class="muted">{escape(fallback)}</span>')
    iso = at.astimezone(UTC).isoformat()[:-6]  # without "+00:00"
    exact = f"{iso[:10]} {iso[11:19]} UTC"
    return Markup(f'<time datetime="{iso}Z" title="{exact}" data-ago>{ago(at)}</time>')


def value(content: object, field: FieldLike) -> Markup:
    """The value of a field in words, by the type of the field."""
    if content is None or content == "":
        return NO_VALUE
    drawn = _BY_TYPE.get(field.type)
    return escape(content) if drawn is None else drawn(content, field)


def _moment(content: object, _field: FieldLike) -> Markup:
    moment = moment_of(content)
    return escape(content) if moment is None else time(moment)


def _options(content: object, _field: FieldLike) -> Markup:
    options = content if isinstance(content, list) else [content]
    shown = "".join([f'<span class="tag">{escape(option)}</span>' for option in options])
    return Markup(f'<span class="tags">{shown}</span>')


def _link(content: object, _field: FieldLike) -> Markup:
    return Markup(f'<a class="link" href="{escape(content)}" rel="noreferrer">{escape(content)}</a>')


# Values of the types that aren't written as they are.
_BY_TYPE: dict[str, Callable[[object, FieldLike], Markup]] = {
    "boolean": lambda content, _field: YES if content else NO,
    "datetime": _moment,
    "long_text": lambda content, _field: Markup(f'<span class="multiline">{escape(content)}</span>'),
    "money": lambda content, field: escape(money_text(content, field.currency)),
    "multi_select": _options,
    "url": _link,
    "user": lambda content, field: escape(field.members.get(str(content), "Former member")),
}


def contact_cells(contact: ContactLike, columns: Iterable[FieldLike]) -> Markup:
    """The cells of a contact in a list. On a phone the rows are cards: `data-cell` says what is where."""
    cells = []
    for place, column in enumerate(columns):
        if column.key == "name":
            attributes = ' data-cell="name"'
        elif place == 1:
            attributes = ' data-cell="detail"'
        elif column.key == "updated_at":
            attributes = ' data-cell="when"'
        else:
            attributes = ' class="number"' if column.type in ("number", "money") else ""
        cells.append(f"<td{attributes}>{contact_value(contact, column)}</td>")
    return Markup("".join(cells))


def contact_value(contact: ContactLike, field: FieldLike) -> Markup:
    """What a contact has in a field or column."""
    key = field.key
    if key == "name":
        return person(contact.name, f"/contacts/{contact.id}")
    if key == "tags":
        return tags(contact.tags)
    if key == "owner":
        return escape(contact.owner_name) if contact.owner_name else NO_VALUE
    if key in CONSENTS:
        return escape(words(str(contact.value(key))))
    content = contact.value(key)
    if isinstance(content, str) and (key == "country" or key in PHONES):
        return _country(content) if key == "country" else address(content, "phone")
    return value(content, field)


def _country(content: str) -> Markup:
    name = country_names().get(content)
    return escape(name) if name else escape(content) + NOT_A_COUNTRY


def address(content: str, kind: str) -> Markup:
    """An email or a phone; a phone that is no number of its country is marked."""
    marked = kind == "phone" and not is_plausible_phone(content)
    return escape(content) + NOT_A_NUMBER if marked else escape(content)


def bar(done: float | None, of: float = 100, cls: str = "") -> Markup:
    """A length as an SVG attribute: decoration beside a number."""
    width = min(max(100 * (done or 0) / of, 0), 100) if of else 0
    return Markup(
        f'<svg class="bar{_more(cls)}" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{width:.1f}" height="6"/></svg>'
    )


def progress(done: int, of: int | None, label: str) -> Markup:
    """How far a job is."""
    return Markup(
        f'<progress value="{done:d}" max="{of or 1:d}" aria-label="{escape(label)}">'
        f"{number(done)} of {number(of)}</progress>"
    )


def counted(count: int, most: int) -> str:
    """A number that was not counted beyond `most`."""
    return f"{number(count)}{'+' if count >= most else ''}"


def facts(pairs: Iterable[tuple[str, object]]) -> Markup:
    """Names and values; a missing value is a dash."""
    none = '<span class="none">—</span>'
    rows = [
        f"<dt>{escape(name)}</dt><dd>{none if content is None or content == '' else escape(content)}</dd>"
        for name, content in pairs
    ]
    return Markup(f'<dl class="facts">{"".join(rows)}</dl>')


def key_figures(figures: Iterable[Sequence[object]]) -> Markup:
    """Large numbers: (name, value) or (name, value, tone)."""
    rows = []
    for name, content, *tones in figures:
        tone = f' class="is-{escape(tones[0])}"' if tones and tones[0] else ""
        rows.append(f"<div><dt>{escape(name)}</dt><dd{tone}>{escape(content)}</dd></div>")
    return Markup(f'<dl class="key-figures">{"".join(rows)}</dl>')


def diff(before: object, after: object) -> Markup:
    """A value that became another."""
    old = EMPTY if before is None or before == "" else f"<del>{_plain(before)}</del>"
    new = EMPTY if after is None or after == "" else f"<ins>{_plain(after)}</ins>"
    arrow = '<span aria-hidden="true">→</span><span class="visually-hidden">became</span>'
    return Markup(f'<span class="diff">{old} {arrow} {new}</span>')


def _plain(content: object) -> Markup:
    if isinstance(content, bool):
        return escape("yes" if content else "no")
    if isinstance(content, list):
        return escape(", ".join(map(str, content)))
    return escape(without_ids(content))


def code(icon: IconMarkup, text: str, label: str = "Code") -> Markup:
    """A text with a button that copies it."""
    return Markup(
        f'<div class="code"><pre tabindex="0" role="region" aria-label="{escape(label)}">{escape(text)}</pre>'
        f'<button class="button small js-only" type="button" data-copy>{icon("copy")}Copy</button></div>'
    )


DATA: tuple[Callable[..., str], ...] = (
    badge,
    avatar,
    person,
    time,
    contact_cells,
    contact_value,
    address,
    bar,
    progress,
    counted,
    facts,
    key_figures,
    diff,
)
ATTRIBUTES: tuple[Callable[..., Markup], ...] = (attributes, shortcut, icon_label)


def template_names(assets: Assets) -> dict[str, object]:
    """The functions under the names that templates call them by."""
    icon = IconMarkup(assets)
    data = SimpleNamespace(**{part.__name__: part for part in DATA}, code=partial(code, icon))
    return {"icon": icon, "data": data} | {part.__name__: part for part in ATTRIBUTES}
