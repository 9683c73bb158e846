"""Every class of the style sheets is used; every class that a template or app/web/markup.py uses is styled or
read by a script."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rules.files import ROOT, sources
from tests.rules.templates import TEMPLATES

MARKUP = ROOT / "app" / "web" / "markup.py"
SHEETS = sorted((ROOT / "static" / "css").rglob("*.css"))
NAME = r"[a-z][a-z0-9-]*"
SCRIPTS = {
    name for path in (ROOT / "static" / "js").glob("*.js") for name in re.findall(NAME, path.read_text())
}
# In CSS but in no template, script or module of ours, with the reason.
SET_ELSEWHERE = {"htmx-request": "htmx sets it on what waits for an answer"}

TAG = r'\{\{(?:"[^"]*"|[^"}])*\}\}|\{%(?:"[^"]*"|[^"%])*%\}'
ATTRIBUTE = re.compile(rf'\bclass="((?:{TAG}|[^"{{])*)"')
BLOCK = re.compile(r"\{% block \w+_class %\}([^{]*)\{% endblock")
COMPARED = re.compile(r'(?:==|!=) *"[^"]*"|\bin \([^)]*\)|\w+\("[^"]*"|"[^"]*":')


def classes_of_css() -> set[str]:
    names: set[str] = set()
    for path in SHEETS:
        text = re.sub(r"/\*.*?\*/|\[[^\]]*\]", "", path.read_text(), flags=re.DOTALL)
        for selector in re.findall(r"([^{}]*)\{", text):
            names.update(re.findall(rf"\.({NAME})", selector))
    return names


def classes_of(text: str) -> Iterator[str]:
    """The classes in class attributes, and in the arguments `cls` and `variant` of macros.

    A name that ends with a hyphen is the beginning of several."""
    for value in [*ATTRIBUTE.findall(text), *BLOCK.findall(text)]:
        for tag in re.findall(TAG, value):
            for literal in re.findall(r'"([^"]*)"', COMPARED.sub("", tag)):
                yield from re.findall(NAME, literal)
        yield from re.findall(NAME, re.sub(TAG, "", value))
    for literal in re.findall(r'\b(?:cls|variant) ?= ?"([^"]*)"', text):
        yield from literal.split()


def markup_of(path: Path) -> str:
    """The text of a template, or of a module without what its f-strings insert."""
    text = path.read_text()
    return re.sub(r"\{[^{}]*\}", "", text) if path.suffix == ".py" else text


CSS = classes_of_css()


def test_classes_are_read_from_templates() -> None:
    text = '<a class="button{{ " small" if size == "little" }} hue-{{ n }}">{{ icon("x", cls="chevron") }}'
    assert sorted(classes_of(text)) == ["button", "chevron", "hue-", "small"]


@pytest.mark.parametrize("path", [*TEMPLATES, MARKUP], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_class_of_a_template_exists(path: Path) -> None:
    def exists(name: str) -> bool:
        return name in CSS or name in SCRIPTS or (name.endswith("-") and any(c.startswith(name) for c in CSS))

    assert sorted({name for name in classes_of(markup_of(path)) if not exists(name)}) == []


def test_every_class_of_the_style_sheets_is_used() -> None:
    used = set(SCRIPTS)
    prefixes = set()
    for path in [*TEMPLATES, MARKUP]:
        text = markup_of(path)
        names = set(classes_of(text))
        for tag in re.findall(r"\{[{%].*?[%}]\}", text, re.DOTALL):
            for literal in re.findall(r'"([^"]*)"', tag):
                names.update(re.findall(NAME, literal))
        used |= names
        prefixes |= {name for name in classes_of(text) if name.endswith("-")}
    for path in sources("app"):
        used.update(re.findall(rf'"({NAME})"', path.read_text()))
    unused = [name for name in CSS - used if not any(name.startswith(prefix) for prefix in prefixes)]
    assert sorted(set(unused) - set(SET_ELSEWHERE)) == []


def test_exceptions_are_real() -> None:
    assert set(SET_ELSEWHERE) <= CSS
