"""The functions that make markup: what they show, and that no text becomes markup."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from uuid import UUID

import pytest
from markupsafe import Markup

from app.web import markup
from app.web.static import ROOT, Assets

HOSTILE = """"><script>alert('x')</script>&amp;<img src=x onerror="alert(1)">"""
SYMBOLS = (ROOT / "icons.svg").read_text()


@dataclass
class Tag:
    name: str


@dataclass
class Column:
    key: str
    type: str = "text"
    currency: str = "EUR"
    members: dict[str, str] = field(default_factory=dict)


@dataclass
class Contact:
    """A contact whose every text is the same."""

    text: str
    tags: list[Tag] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.id = UUID(int=7)
        self.name = self.owner_name = self.text
        self.tags = [Tag(self.text)] * 6

    def value(self, key: str) -> object:
        return self.text


class Elements(HTMLParser):
    """The elements of a piece of markup, its attributes, and its text."""

    def __init__(self, piece: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(piece)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self.texts += [content or "" for _, content in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


icon = markup.IconMarkup(Assets())
COLUMNS = [Column(key) for key in ("name", "email", "tags", "owner", "email_consent", "custom.1")]
TEXTUAL = ("text", "long_text", "url", "datetime", "multi_select", "select", "nonsense")
PIECES: dict[str, Callable[[str], Markup]] = {
    "icon": lambda text: icon(text, text),
    "attributes": lambda text: Markup("<a") + markup.attributes({"title": text}) + Markup(">"),
    "shortcut": lambda text: Markup("<a") + markup.shortcut(text, text) + Markup(">"),
    "icon_label": lambda text: Markup("<a") + markup.icon_label(text) + Markup(">"),
    "badge": lambda text: markup.badge(text) + markup.badge(text, text, text),
    "avatar": lambda text: markup.avatar(text) + markup.avatar(text, text),
    "person": lambda text: markup.person(text) + markup.person(text, text, text),
    "time": lambda text: markup.time(None, text),
    "value": lambda text: (
        Markup("").join(markup.value(text, Column("x", kind)) for kind in TEXTUAL)
        + markup.value(text, Column("x", "user", members={text: text}))
        + markup.value([text], Column("x", "multi_select"))
    ),
    "contact_value": lambda text: Markup("").join(
        markup.contact_value(Contact(text), column) for column in COLUMNS
    ),
    "address": lambda text: markup.address(text, "email") + markup.address(text, "phone"),
    "contact_cells": lambda text: markup.contact_cells(Contact(text), COLUMNS),
    "bar": lambda text: markup.bar(1, 2, text),
    "progress": lambda text: markup.progress(1, 2, text),
    "facts": lambda text: markup.facts([(text, text)]),
    "key_figures": lambda text: markup.key_figures([(text, text, text)]),
    "diff": lambda text: markup.diff(text, text),
    "code": lambda text: markup.code(icon, text, text),
}


@pytest.mark.parametrize("name", PIECES)
def test_text_never_becomes_markup(name: str) -> None:
    hostile, plain = Elements(PIECES[name](HOSTILE)), Elements(PIECES[name]("plain"))
    assert hostile.tags == plain.tags
    assert hostile.attributes == plain.attributes
    if name != "avatar":  # initials
        assert HOSTILE.lower() in "\n".join(hostile.texts).lower()


def test_every_function_of_templates_is_tried() -> None:
    names = markup.template_names(Assets())
    assert set(vars(names["data"])) | set(names) - {"data"} - {"counted"} <= set(PIECES) | {"counted"}


@pytest.mark.parametrize(
    ("draw", "kinds"),
    [
        (icon.of_actor, ("member", "token", "step", "import", "contact", "system")),
        (icon.of_effect, ("email", "sms", "chat", "webhook")),
        (icon.of_change, ("added", "removed", "changed", "moved")),
        (icon.of_tone, ("ok", "info", "warn", "bad")),
    ],
)
def test_chosen_icons_exist(draw: Callable[[str], Markup], kinds: tuple[str, ...]) -> None:
    for kind in kinds:
        name = re.findall(r'#(i-[a-z]+)"', draw(kind))
        assert f'id="{name[0]}"' in SYMBOLS


def test_an_icon_has_the_version_of_the_file() -> None:
    url = Assets().url("icons.svg")
    assert icon("plus") == f'<svg class="icon" aria-hidden="true"><use href="{url}#i-plus"/></svg>'
    assert icon("plus", "large") != icon("plus")


def test_badge_takes_its_color_from_the_state() -> None:
    assert markup.badge("goal_met") == '<span class="badge ok">Goal met</span>'
    assert markup.badge("Failed") == '<span class="badge bad">Failed</span>'
    assert markup.badge("vip") == '<span class="badge ">Vip</span>'
    assert markup.badge("live", "Live v2", "info") == '<span class="badge info">Live v2</span>'


@pytest.mark.parametrize(
    ("name", "initials"), [("Ann Larsen", "AL"), ("ann", "A"), ("Ann de Vries", "AV"), ("", "?"), (" ", "")]
)
def test_avatar_shows_initials(name: str, initials: str) -> None:
    assert f">{initials}</span>" in markup.avatar(name)
    assert markup.avatar(name) == markup.avatar(name)


def test_time_is_exact_in_utc() -> None:
    at = datetime(2026, 3, 31, 1, 30, 5, 250_000, tzinfo=timezone(timedelta(hours=2)))
    shown = markup.time(at)
    assert 'datetime="2026-03-30T23:30:05.250000Z"' in shown
    assert 'title="2026-03-30 23:30:05 UTC"' in shown
    assert markup.time(datetime.now(UTC)).endswith(" data-ago>now</time>")
    assert markup.time(None) == '<span class="muted">—</span>'


@pytest.mark.parametrize(
    ("content", "kind", "text"),
    [
        (1234.5, "money", "1,234.50 EUR"),
        (["a", "b"], "multi_select", "ab"),
        ("soon", "datetime", "soon"),
        ("gone", "user", "Former member"),
        (None, "text", "—"),
        ("", "text", "—"),
        (0.0, "number", "0.0"),
        (False, "boolean", "No"),
        (True, "boolean", "Yes"),
    ],
)
def test_value_is_in_words(content: object, kind: str, text: str) -> None:
    assert markup.value(content, Column("x", kind)).striptags() == text


def test_moment_of_a_custom_field_is_a_time() -> None:
    stored = "2026-07-01T07:30:00Z"
    assert f'<time datetime="{stored}"' in markup.value(stored, Column("x", "datetime"))


def test_consent_is_a_word() -> None:
    contact = Contact("unknown")
    assert markup.contact_value(contact, Column("email_consent", "select")) == "Unknown"
    assert markup.contact_value(contact, Column("sms_consent", "select")) == "Unknown"
    assert markup.contact_value(contact, Column("city")) == "unknown"


def test_a_phone_that_is_no_number_is_marked() -> None:
    assert markup.contact_value(Contact("+12025550123"), Column("phone")) == "+12025550123"
    assert markup.contact_value(Contact("abc"), Column("phone2")).striptags() == "abc not valid"
    assert markup.contact_value(Contact("abc"), Column("city")) == "abc"


def test_a_country_is_shown_by_its_name() -> None:
    assert markup.contact_value(Contact("DE"), Column("country")) == "Germany"
    assert (
        markup.contact_value(Contact("Narnia"), Column("country")).striptags() == "Narnia not a known country"
    )


def test_tags_of_a_row_are_few() -> None:
    assert markup.tags([Tag("a")] * 4).count('class="tag"') == 4
    assert markup.tags([Tag("a")] * 6).endswith('<span class="muted">+2</span></span>')


def test_cells_say_where_a_phone_shows_them() -> None:
    columns = [Column("name"), Column("city"), Column("updated_at", "datetime"), Column("custom.1", "number")]
    cells = re.findall(r"<td([^>]*)>", markup.contact_cells(Contact("x"), columns))
    assert cells == [' data-cell="name"', ' data-cell="detail"', ' data-cell="when"', ' class="number"']


def test_attributes_are_left_out_or_bare() -> None:
    assert markup.attributes({"a": 1, "b": True, "c": False, "d": None, "e": ""}) == ' a="1" b e=""'
    assert markup.attributes(None) == ""


def test_diff_says_what_became_what() -> None:
    assert markup.diff(None, True).striptags() == "empty →became yes"
    assert markup.diff(False, "").striptags() == "no →became empty"
    assert markup.diff("a", "0190a0e8-1111-7111-8111-111111111111").striptags() == "a →became …"


def test_figures_of_jobs() -> None:
    assert markup.progress(1500, None, "Rows").striptags() == "1,500 of –"
    assert markup.counted(10_000, 10_000) == "10,000+"
    assert 'width="50.0"' in markup.bar(1, 2)
    assert 'width="100.0"' in markup.bar(3, 2)
    assert 'width="0.0"' in markup.bar(None, 0)
    assert markup.facts([("A", None), ("B", 0)]).striptags() == "A—B0"
    assert 'class="is-bad"' in markup.key_figures([("A", 1, "bad")])
