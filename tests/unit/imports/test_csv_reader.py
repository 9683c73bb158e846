"""Files of contacts as programs write them: encodings, delimiters, line ends, headers, verdicts."""

from uuid import uuid4

import pytest

from app.filters.fields import BUILT_IN, custom_field, field_catalog
from app.imports.domain.columns import guess, looks_like_header, mapping_errors
from app.imports.domain.csv_reader import LONGEST_CELL, MOST_ROWS, data_lines, read_table, sniff
from app.imports.domain.encoding import FileError, decode
from app.imports.domain.row_matching import (
    CheckedRow,
    ExistingContact,
    Values,
    escape_formula,
    match_row,
    read_row,
    reject_duplicate,
    split_name,
    unescape_formula,
)
from app.imports.domain.sample_file import HEADER, as_csv, sample_rows

TEXT = "name;email\r\nJosé Ñandú;jose@example.com\r\nZoë “Z” Ångström;zoe@example.com\r\n"
NONE: frozenset[object] = frozenset()


@pytest.mark.parametrize(
    ("codec", "label"),
    [
        ("utf-8", "UTF-8"),
        ("utf-8-sig", "UTF-8"),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("utf-32", "UTF-32"),
        ("cp1252", "Windows-1252"),
    ],
)
def test_text_is_read_in_any_encoding(codec: str, label: str) -> None:
    assert decode(TEXT.encode(codec)) == (TEXT, label)


def test_a_byte_order_mark_decides() -> None:
    assert decode(b"\xfe\xff" + TEXT.encode("utf-16-be")) == (TEXT, "UTF-16")
    assert decode(b"a,b\n\x81,\xe9") == ("a,b\n\x81,é", "Latin-1")


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04...", b"\xd0\xcf\x11\xe0", b"%PDF-1.7", b"a,b\0c", b"\xff\xfea", b"\0" * 50]
)
def test_binary_files_are_refused(content: bytes) -> None:
    with pytest.raises(FileError):
        decode(content)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ends", ["\r\n", "\n", "\r"])
@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "cp1252"])
def test_every_dialect_gives_the_same_table(delimiter: str, ends: str, codec: str) -> None:
    rows = [list(HEADER), *sample_rows(60)]
    content = as_csv(rows, ends, delimiter).encode(codec)
    table = read_table(content)
    assert (table.delimiter, table.has_header, table.rows, tuple(table.header)) == (
        delimiter,
        True,
        60,
        HEADER,
    )
    text, _ = decode(content)
    assert [cells for _, cells in data_lines(text, delimiter, has_header=True)] == rows[1:]
    assert table.samples[0] == ["Ada", "Bruno", "Chidi"]


def test_quoted_cells_hold_delimiters_and_line_ends() -> None:
    text = 'name,note\n"Doe, Ann","first\nsecond"\n\nBob,"say ""hi"""\n'
    lines = list(data_lines(text, sniff(text), has_header=True))
    assert lines == [(2, ["Doe, Ann", "first\nsecond"]), (4, ["Bob", 'say "hi"'])]


def test_a_cell_cut_by_the_sample_does_not_hide_the_delimiter() -> None:
    text = 'name;note\nAnn;x\nBob;"' + "word\n" * 15_000 + '"\n'
    assert sniff(text) == ";"
    assert read_table(text.encode()).rows == 2


def test_the_last_line_needs_no_end() -> None:
    assert read_table(b'email,name\nq@x.example,"abc"').rows == 1


def test_excel_may_name_the_delimiter() -> None:
    table = read_table(b"sep=;\r\nname;city\r\nAnn;a,b,c\r\n")
    assert (table.delimiter, table.header, table.rows) == (";", ["name", "city"], 1)


def test_one_column_is_a_table_too() -> None:
    assert read_table(b"email\nann@example.com\n").header == ["email"]


def test_a_file_without_header_has_numbered_columns() -> None:
    table = read_table(b"Ann,ann@example.com\nBob,bob@example.com\n")
    assert (table.has_header, table.header, table.rows) == (False, ["Column 1", "Column 2"], 2)
    assert table.samples == [["Ann", "Bob"], ["ann@example.com", "bob@example.com"]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b" \n\n", "empty"),
        (b"name,email\n", "a header line but no rows"),
        (("a," * 300).encode() + b"\nb", "columns"),
        (b'name\n"' + b"x" * (LONGEST_CELL + 10), "quotation mark"),
        (b'email,name\nq@x.example,"abc\nz@x.example,b\n', "mark opened on line 2 is never closed"),
        (b'email,name\rq@x.example,b\rz@x.example,"', "mark opened on line 3 is never closed"),
        (b'email,name\nq@x.example,"abc\nz@x.example,b\ny@x.example,"c"\n', "on line 2 swallows the lines"),
        (b"name\n" + b"x\n" * (MOST_ROWS + 1), "Split it"),
    ],
)
def test_limits_are_said(content: bytes, words: str) -> None:
    with pytest.raises(FileError, match=words):
        read_table(content)


def test_headers_are_distinguished_from_rows() -> None:
    assert looks_like_header(["First Name", "Vorname"])
    assert looks_like_header(["alpha", "beta"])
    assert not looks_like_header(["Ann", "ann@example.com"])
    assert not looks_like_header(["Ann", "+1 504 621 8927"])


def test_columns_are_guessed_from_their_names() -> None:
    assert list(guess(HEADER, BUILT_IN).values()) == [
        "first_name", "last_name", "company", "address", "city", "county", "state", "postal_code", "phone",
        "phone2", "email", "website",
    ]  # fmt: skip
    header = ["Full Name", "E-Mail Address", "Mobile", "URL", "Zip/Postal", "??"]
    assert list(guess(header, BUILT_IN).values()) == [
        "full_name", "email", "phone", "website", "postal_code", "ignore",
    ]  # fmt: skip
    assert list(guess(["Phone", "Telephone", "Tel"], BUILT_IN).values()) == ["phone", "phone2", "ignore"]
    own = field_catalog([custom_field("7", "plan", "Plan tier", "text")])
    assert list(guess(["plan", "PLAN TIER", "Town"], own).values()) == ["custom.7", "ignore", "city"]


def test_a_wrong_choice_of_columns_is_named() -> None:
    header = ["a", "b"]
    assert mapping_errors({"0": "email", "1": "ignore"}, header, BUILT_IN) == {}
    assert "columns.1" in mapping_errors({"0": "email", "1": "email"}, header, BUILT_IN)
    assert "columns.9" in mapping_errors({"9": "email"}, header, BUILT_IN)
    assert "columns.0" in mapping_errors({"0": "created_at"}, header, BUILT_IN)
    assert "columns" in mapping_errors({"0": "city"}, header, BUILT_IN)


def plain(values: object) -> tuple[Values, dict[str, str]]:
    mapping = dict(values)  # type: ignore[call-overload]  # -- the mapping that read_row hands over
    return mapping, {"email": "Write it right."} if mapping.get("email") == "bad" else {}


def row(*cells: str, line: int = 2) -> CheckedRow:
    return read_row(line, list(cells), [(0, "email"), (1, "city")], 2, plain, BUILT_IN)


def test_a_row_is_judged_by_itself() -> None:
    assert row("a@b.example", "Oslo").values == {"email": "a@b.example", "city": "Oslo"}
    assert row("bad", "Oslo").reason == "Email: Write it right."
    short = row("a@b.example")  # empty cells at the end may be left out
    assert (short.verdict, short.cells, short.values["email"]) == ("new", ["a@b.example", ""], "a@b.example")
    assert row("a@b.example", "Oslo", "x").reason == "The row has 3 cells, but the header has 2."
    assert row("a@b.example", "Oslo", "").verdict == "new"  # a delimiter at the end is no cell


def test_the_later_of_two_equal_lines_is_bad() -> None:
    line_numbers: dict[tuple[str, str], int] = {}
    assert reject_duplicate(row("a@b.example", "Oslo"), line_numbers, {}).verdict == "new"
    later = reject_duplicate(row("a@b.example", "Rome", line=9), line_numbers, {})
    assert (later.verdict, later.reason) == ("bad", "Same email as line 2.")


def test_a_row_is_compared_with_the_contact_it_belongs_to() -> None:
    contact, tag = ExistingContact(uuid4(), {"email": "a@b.example", "city": "Oslo"}), uuid4()
    existing = {("email", "a@b.example"): contact}
    tags = frozenset({tag})
    assert match_row(row("c@b.example", "Oslo"), existing, True, frozenset()).verdict == "new"
    assert match_row(row("a@b.example", "Oslo"), existing, True, frozenset()).verdict == "unchanged"
    changed = match_row(row("a@b.example", "Rome"), existing, True, tags)
    assert (changed.verdict, changed.contact_id) == ("changed", contact.id)
    assert changed.changes == {"city": ["Oslo", "Rome"], "tags": [0, 1]}
    skipped = match_row(row("a@b.example", "Rome"), existing, False, tags)
    assert (skipped.verdict, skipped.reason) == ("unchanged", "Already exists.")


def test_an_external_id_comes_before_the_address() -> None:
    first = ExistingContact(uuid4(), {"external_id": "1", "email": "a@b.example"})
    other = ExistingContact(uuid4(), {"external_id": "2", "email": "c@b.example"})
    existing = {
        ("external_id", "1"): first,
        ("email", "a@b.example"): first,
        ("external_id", "2"): other,
        ("email", "c@b.example"): other,
    }
    moved = match_row(
        CheckedRow(2, [], {"external_id": "1", "email": "d@b.example"}), existing, True, frozenset()
    )
    assert moved.changes == {"email": ["a@b.example", "d@b.example"]}
    taken = match_row(
        CheckedRow(2, [], {"external_id": "1", "email": "c@b.example"}), existing, True, frozenset()
    )
    assert taken.reason == "The email address belongs to another contact."
    unknown = match_row(
        CheckedRow(2, [], {"external_id": "3", "email": "c@b.example"}), existing, True, frozenset()
    )
    assert unknown.verdict == "bad"


def test_names_are_split() -> None:
    assert split_name("Ann Mary Doe") == {"first_name": "Ann Mary", "last_name": "Doe"}
    assert split_name("Doe, Ann") == {"first_name": "Ann", "last_name": "Doe"}
    assert split_name("Ann") == {"first_name": "Ann", "last_name": ""}


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", " =1", "'=1", "plain", "", "'quoted'"]
)
def test_exported_cells_never_become_formulas_and_round_trip(cell: str) -> None:
    safe = escape_formula(cell)
    assert not safe.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r"))
    assert unescape_formula(safe) == cell or cell == "'=1"
