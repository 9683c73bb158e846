"""A filter shown in the rows of a form and saved as it was shown names the same things as before."""

from typing import Any, cast

import msgspec
import pytest
from msgspec.structs import replace

from app.engine.core.name_lookup import Names
from app.errors import Invalid
from app.filters.ast import Filter
from app.filters.fields import FieldSpec
from app.filters.parse import parse, stored_form
from app.filters.rows import RowsInput, rows_of
from app.work import Work
from app.workflows.use_cases.input_reader import BuilderNames, Reader
from tests.support.engine_kit import ANN, BEN, COLD, FIELDS, LATE, RENEWAL, TAGS, VIP, WELCOME, ask, every


def called(field: str, **names: str) -> BuilderNames:
    """The test fields, with members or workflows of these names."""
    ids = {"ann": str(ANN), "ben": str(BEN), "welcome": str(WELCOME), "renewal": str(RENEWAL)}
    spec: FieldSpec = replace(FIELDS[field], names={ids[key]: name for key, name in names.items()})
    return BuilderNames({**FIELDS, field: spec}, Names(TAGS))


def saved(shown: dict[str, Any], lookup: BuilderNames) -> Filter | None:
    reader = Reader(cast("Work", None), lookup)  # no row of these makes a tag
    condition = reader.filter(msgspec.convert(shown, RowsInput), "filter")
    reader.refuse([], "")
    return condition


TWINS = {"welcome": "Welcome", "renewal": "welcome"}


@pytest.mark.parametrize(
    ("lookup", "condition"),
    [
        (called("owner", ann="Ann", ben="Ben"), ask("owner", "is", str(BEN))),
        (called("owner", ann="Ann", ben="Ann"), ask("owner", "is", str(BEN))),
        (called("owner", ann="Smith, Ann", ben="Smith"), ask("owner", "any_of", [str(ANN)])),
        (called("owner", ann=str(BEN), ben="Ben"), ask("owner", "is", str(ANN))),
        (called("workflows", **TWINS), ask("workflows", "ever_in", [str(WELCOME), str(RENEWAL)])),
        (called("workflows", welcome="Mail", renewal="Mail"), ask("workflows", "ever_in", [str(RENEWAL)])),
        (BuilderNames(FIELDS, Names(TAGS)), ask("city", "in", ["Washington, DC", "100%", "%2C"])),
        (
            BuilderNames(FIELDS, Names(TAGS)),
            ask("history", "changed_to", ["city", "Washington, DC", "7 days"]),
        ),
        (BuilderNames(FIELDS, Names(TAGS)), ask("city", "is", "Washington, DC %2C")),
        (
            called("owner", ann="Ann", ben="Ann"),
            ask("history", "changed_from_to", ["owner", str(ANN), str(BEN), "7 days"]),
        ),
    ],
)
def test_saving_a_filter_as_shown_keeps_it(lookup: BuilderNames, condition: Filter) -> None:
    assert saved(rows_of(every(condition)), lookup) == every(condition)


def test_names_that_combine_to_another_name() -> None:
    """Tags “vip”, “cold” and “vip, cold”."""
    lookup = BuilderNames(FIELDS, Names(TAGS | {str(LATE): "vip, cold"}))
    for condition in (ask("tags", "any_of", [str(VIP), str(COLD)]), ask("tags", "any_of", [str(LATE)])):
        assert saved(rows_of(every(condition)), lookup) == every(condition)


def test_a_name_that_two_have_is_refused() -> None:
    rows = {"type": "rows", "rows": [{"field": "owner", "op": "is", "value": "ann"}]}
    with pytest.raises(Invalid, match=r"More than one member is called “ann”\. Use the ID instead"):
        saved(rows, called("owner", ann="Ann", ben="ANN"))


def test_ids_are_stored_in_one_form() -> None:
    written = parse(
        [f"tags:any_of:{VIP.hex},{str(COLD).upper()}", f"history:changed_to:owner,{ANN.hex},7 days"]
    )
    assert stored_form(every(written), FIELDS) == every(
        every(
            ask("tags", "any_of", [str(VIP), str(COLD)]),
            ask("history", "changed_to", ["owner", str(ANN), "7 days"]),
        )
    )
