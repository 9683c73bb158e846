"""Templates hold to the Content-Security-Policy and to the kit."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from jinja2 import nodes

from app.web.templates import FILTERS
from scripts._lib.dev.naming import is_banned
from tests.rules.files import ROOT, sources
from tests.rules.templates import FOLDER, SYNTAX, TEMPLATES, pages

LONGEST_LINE = 140
FORBIDDEN = {
    "a script in the page": r"<script(?![^>]*\bsrc=)[^>]*>\s*[^\s<]",
    "a style in the page": r"<style\b|\sstyle\s*=",
    "an on… attribute": r"<[a-z][^>{}]*\son[a-z]+\s*=",
    "text that is not escaped": r"\|\s*safe\b|autoescape\s+false|Markup\(",
    "hx-on": r"hx-on\b",
    "a javascript: address or value": r"javascript:|[\"']js:",
    "a filter in a trigger, which needs eval": r"hx-trigger\s*=\s*[\"'][^\"']*\[",
    "a file from elsewhere": r"(?:src|href)\s*=\s*[\"']https?://(?!\{)[^\"']*\.(?:js|css|woff2?)",
}

SYNTAX.filters.update(FILTERS)


def sites(pattern: str) -> list[str]:
    places = []
    for path in TEMPLATES:
        text = path.read_text()
        places += [
            f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}"
            for match in re.finditer(pattern, text, re.IGNORECASE)
        ]
    return places


@pytest.mark.parametrize("what", FORBIDDEN)
def test_templates_are_free_of(what: str) -> None:
    assert sites(FORBIDDEN[what]) == []


def is_page(path: Path) -> bool:
    return (
        not path.name.startswith("_")
        and '{% extends "layouts/' in path.read_text()
        and path.parent.name != "layouts"
    )


@pytest.mark.parametrize(
    "path", [p for p in TEMPLATES if is_page(p)], ids=lambda p: p.relative_to(FOLDER).as_posix()
)
def test_every_page_has_a_title(path: Path) -> None:
    assert re.search(r"{%-?\s*block title\s*-?%}\s*\S", path.read_text())


def test_forms_that_post_name_their_account() -> None:
    """A second tab may have switched the account: forms inside a page carry the one they were drawn for."""
    bad = []
    for path in TEMPLATES:
        # The layout's own forms switch accounts; a password belongs to a person, not to an account.
        if path.parent.name in {"layouts", "shared", "sessions", "sign_in", "password"}:
            continue
        if "plain.html" in path.read_text():
            continue
        forms = re.findall(r'<form[^>]*method="post".*?</form>', path.read_text(), re.DOTALL | re.IGNORECASE)
        bad += [
            f"{path.relative_to(ROOT)}: {form[:80]}"
            for form in forms
            if "account_field()" not in form and 'name="account"' not in form
        ]
    assert bad == []


def test_images_and_icons_have_a_text_alternative() -> None:
    assert sites(r"<img(?![^>]*\balt=)[^>]*>") == []


def test_template_folder_matches_the_url() -> None:
    """`/password-reset` is drawn by a template of `templates/password_reset`."""
    bad = [
        f"{url}: {template}"
        for url, template in pages()
        if template.split("/")[0] not in url.replace("-", "_").split("/") and template != "home/index.html"
    ]
    assert bad == []


def test_every_template_is_used() -> None:
    text = "\n".join(path.read_text() for path in [*sources("app"), *TEMPLATES])
    named = set(re.findall(r"[\w/]+\.html", text))
    by_kind = {"workflows/steps", "workflows/triggers"}
    names = {path.relative_to(FOLDER).as_posix() for path in TEMPLATES}
    assert sorted(name for name in names - named if name.rpartition("/")[0] not in by_kind) == []


def local_names(source: str) -> Iterator[str]:
    """What a template binds: by `set`, `for`, `import`, as a macro or as a parameter of one."""
    parsed = SYNTAX.parse(source)
    yield from (name.name for name in parsed.find_all(nodes.Name) if name.ctx in {"store", "param"})
    yield from (macro.name for macro in parsed.find_all(nodes.Macro))
    yield from (imported.target for imported in parsed.find_all(nodes.Import))


def test_local_names_are_read() -> None:
    source = """{% set a = 1 %}{% for b, c in page %}{% endfor %}{% macro d(e) %}{% endmacro %}
        {% import "x.html" as f %}"""
    assert sorted(local_names(source)) == list("abcdef")


def test_templates_name_their_locals() -> None:
    """No fillers (`scripts/_lib/dev/naming.py`) and no single letters."""
    bad = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in TEMPLATES
        for name in local_names(path.read_text())
        if is_banned(name) or len(name) == 1
    ]
    assert bad == []


def test_every_macro_is_used() -> None:
    parsed = [SYNTAX.parse(path.read_text()) for path in TEMPLATES]
    macros = {macro.name for page in parsed for macro in page.find_all(nodes.Macro)}
    used = {
        call.node.attr for page in parsed for call in page.find_all(nodes.Call) if hasattr(call.node, "attr")
    }
    used |= {name.name for page in parsed for name in page.find_all(nodes.Name) if name.ctx == "load"}
    assert sorted(macros - used) == []


def test_lines_stay_short() -> None:
    bad = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in TEMPLATES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > LONGEST_LINE
    ]
    assert bad == []
