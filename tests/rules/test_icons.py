"""Every icon that a template or a table names is in static/icons.svg, and every symbol there is used."""

import inspect
import re
from collections.abc import Iterator

from jinja2 import nodes

from app.web import markup
from app.web.navigation import SETTINGS, SIDEBAR
from tests.rules.files import ROOT, sources
from tests.rules.templates import SYNTAX, TEMPLATES

SYMBOLS = set(re.findall(r'<symbol id="i-([a-z]+)"', (ROOT / "static" / "icons.svg").read_text()))
PARSED = [SYNTAX.parse(path.read_text()) for path in TEMPLATES]
# The place of the icon among the parameters: of `icon(name)`, and of every macro with a parameter `icon`,
# whose file imports the first as `draw_icon`.
PLACES = {"icon": 0, "draw_icon": 0} | {
    macro.name: [parameter.name for parameter in macro.args].index("icon")
    for page in PARSED
    for macro in page.find_all(nodes.Macro)
    if "icon" in [parameter.name for parameter in macro.args]
}


def icons_of_templates() -> Iterator[str]:
    for page in PARSED:
        loops = list(page.find_all(nodes.For))
        for macro in page.find_all(nodes.Macro):
            for parameter, default in zip(
                macro.args[len(macro.args) - len(macro.defaults) :], macro.defaults, strict=True
            ):
                if parameter.name == "icon":
                    yield from values(default, loops)
        for call in page.find_all(nodes.Call):
            name = getattr(call.node, "attr", getattr(call.node, "name", ""))
            if name in PLACES:
                place = PLACES[name]
                named = [keyword.value for keyword in call.kwargs if keyword.key == "icon"]
                for expression in [*call.args[place : place + 1], *named]:
                    yield from values(expression, loops)


def values(expression: nodes.Node, loops: list[nodes.For]) -> Iterator[str]:
    """The texts that an expression may give; none where Python decides."""
    match expression:
        case nodes.Const(value=str(text)) if text:
            yield text
        case nodes.CondExpr():
            yield from values(expression.expr1, loops)
            yield from values(expression.expr2 or nodes.Const(None), loops)
        case nodes.Getitem(node=nodes.Dict() as table):
            yield from values_of_table(table, [])
        case nodes.Call(node=nodes.Getattr(node=nodes.Dict() as table)):
            yield from values_of_table(table, expression.args[1:])
        case nodes.Name(name=name):
            yield from values_of_loops(name, loops)


def values_of_table(table: nodes.Dict, defaults: list[nodes.Expr]) -> Iterator[str]:
    for expression in [*(pair.value for pair in table.items), *defaults]:
        yield from values(expression, [])


def values_of_loops(name: str, loops: list[nodes.For]) -> Iterator[str]:
    """What a variable of `{% for name, icon in (("Undo", "undo"), …) %}` may be."""
    for loop in loops:
        target = loop.target
        names = [target] if isinstance(target, nodes.Name) else target.find_all(nodes.Name)
        targets = [place.name for place in names]
        if name in targets and isinstance(loop.iter, nodes.Tuple):
            for row in loop.iter.items:
                expression = row.items[targets.index(name)] if isinstance(row, nodes.Tuple) else row
                yield from values(expression, loops)


def icons_of_code() -> Iterator[str]:
    """`icon="tag"` and `icon = "tag"` of the kinds, and the tables of the screens."""
    for path in sources("app"):
        yield from re.findall(r'\bicon(?:: str)? ?= ?"([a-z]+)"', path.read_text())
    # Those that app/web/markup.py chooses; tests/unit/web/test_markup.py draws each.
    yield from set(re.findall(r'"([a-z]+)"', inspect.getsource(markup))) & SYMBOLS
    for screens in (*SIDEBAR.values(), SETTINGS):
        yield from (screen.icon for screen in screens)


USED = {*icons_of_templates(), *icons_of_code()}


def test_icons_of_templates_are_found() -> None:
    assert {"plus", "left", "undo", "updown", "warn", "inbox"} <= set(icons_of_templates())


def test_every_icon_exists() -> None:
    assert sorted(USED - SYMBOLS) == []


def test_every_symbol_is_used() -> None:
    assert sorted(SYMBOLS - USED) == []
