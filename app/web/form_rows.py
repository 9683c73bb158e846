"""Forms with rows, shown again: as they were typed, and with one row more or less."""

import re
from collections.abc import Iterable

import msgspec

from app.filters.rows import RowButtons
from app.json_types import Json, JsonObject
from app.web.form_decoder import decode_form
from app.web.request import Request

ROW_PATH = re.compile(r"[a-z0-9_.]{1,200}")


class _Typed:
    """The texts of a form that was sent, as `decode_form` reads them."""

    def __init__(self, values: dict[str, str | list[str]]) -> None:
        self.values = values

    def keys(self) -> Iterable[str]:
        return self.values.keys()

    def getall(self, key: str) -> list[str]:
        value = self.values[key]
        return value if isinstance(value, list) else [value]


def refused_values(request: Request, form: type[msgspec.Struct]) -> JsonObject | None:
    """The values of a refused form; None when the form is shown for the first time."""
    again = request.scope["state"].get("form")
    return decode_form(_Typed(again.values), form) if again is not None and again.values else None


def changed_rows(request: Request, form: type[msgspec.Struct], buttons: RowButtons) -> JsonObject | None:
    """The typed values after one of the buttons; None when none was pressed."""
    pressed = buttons.more or buttons.group or buttons.less or buttons.show or buttons.make
    typed = request.typed() if pressed else {}
    if not typed:
        return None
    lifted: JsonObject = decode_form(_Typed(typed), form)
    if buttons.more:
        _grow(lifted, buttons.more.split("."), {})
    if buttons.group:
        _grow(lifted, buttons.group.split("."), {"match": "any", "rows": [{}, {}]})
    if buttons.less:
        _shrink(lifted, buttons.less.split("."))
    return lifted


def redrawn(buttons: RowButtons, whole: str) -> dict[str, str]:
    """The headers that say what htmx draws again after a button: the row alone if only that changed, so that
    the focus and what is being typed stay; else the element with the id `whole`, because a morph would keep
    the values of the row that stood there before."""
    row = buttons.show or buttons.make
    if ROW_PATH.fullmatch(row):
        place, swap = f"#row-{row.replace('.', '-')}", "outerMorph"
    else:
        place, swap = f"#{whole}", "outerHTML"
    return {"HX-Retarget": place, "HX-Reselect": place, "HX-Reswap": swap}


def _grow(values: Json, path: list[str], row: JsonObject) -> None:
    """Adds a row to the list at this path; does nothing where the values have no such place."""
    at = values
    for name in path[:-1]:
        if isinstance(at, list) and name.isdecimal() and int(name) < len(at):
            at = at[int(name)]
        elif isinstance(at, dict):
            at = at.setdefault(name, {})
        else:
            return
    rows = at.setdefault(path[-1], []) if isinstance(at, dict) else None
    if isinstance(rows, list):
        rows.append(row)


def _shrink(values: Json, path: list[str]) -> None:
    """Removes the row at this path, if there is one."""
    at = values
    for name in path[:-1]:
        if isinstance(at, list) and name.isdecimal() and int(name) < len(at):
            at = at[int(name)]
        else:
            at = at.get(name) if isinstance(at, dict) else None
    if isinstance(at, list) and path[-1].isdecimal() and int(path[-1]) < len(at):
        del at[int(path[-1])]
