"""Splits the text of a file into rows of cells. `read_table` finds the delimiter, the header and the number
of rows; `data_lines` yields the rows."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator

import msgspec

from app.imports.domain.columns import looks_like_header
from app.imports.domain.encoding import FileError, decode

DELIMITERS = (",", ";", "\t", "|")
MOST_ROWS = 200_000
MOST_COLUMNS = 200
LONGEST_CELL = 100_000
SAMPLE_LINES = 40
SAMPLES = 3
_SEP = re.compile(r"\A\"?sep=(.)\"?(\r\n|\n|\r)", re.IGNORECASE)


class Table(msgspec.Struct, frozen=True):
    """The table of a file. Without a header (`has_header` false) the first line is a contact, and `header`
    holds "Column 1" and so on. `samples` are the first non-empty cells of each column."""

    encoding: str
    delimiter: str
    has_header: bool
    header: list[str]
    rows: int
    samples: list[list[str]]


def read_table(content: bytes) -> Table:
    """The table of a file. Raises FileError when there is nothing to import or the limits are exceeded."""
    text, encoding = decode(content)
    delimiter = sniff(text)
    lines = filled_lines(text, delimiter)
    first = next(lines, None)
    if first is None:
        raise FileError("The file is empty. Upload a table with a header row and one row per contact.")
    cells = first[1]
    if len(cells) > MOST_COLUMNS:
        raise FileError(f"The file has {len(cells)} columns. The limit is {MOST_COLUMNS}.")
    has_header = looks_like_header(cells)
    samples: list[list[str]] = [[] for _ in cells]
    rows = 0 if has_header else 1
    if not has_header:
        _sample(samples, cells)
    for _line, row in lines:
        rows += 1
        if rows > MOST_ROWS:
            raise FileError(f"The file has more than {MOST_ROWS:,} rows. Split it and import the parts.")
        if rows < SAMPLE_LINES:
            _sample(samples, row)
    if rows == 0:
        raise FileError("The file has a header line but no rows.")
    return Table(encoding, delimiter, has_header, titles(cells, has_header), rows, samples)


def _sample(samples: list[list[str]], row: list[str]) -> None:
    for column_samples, cell in zip(samples, row, strict=False):
        short = " ".join(cell.split())[:60]
        if short and len(column_samples) < SAMPLES and short not in column_samples:
            column_samples.append(short)


def titles(cells: list[str], has_header: bool) -> list[str]:
    """A name for each column; "Column 3" for a column without one."""
    names = [" ".join(cell.split())[:100] if has_header else "" for cell in cells]
    return [name or f"Column {number}" for number, name in enumerate(names, start=1)]


def data_lines(text: str, delimiter: str, has_header: bool) -> Iterator[tuple[int, list[str]]]:
    """The rows under the header with their line as a spreadsheet counts it (the first is 1)."""
    lines = filled_lines(text, delimiter)
    if has_header:
        next(lines, None)
    return lines


def filled_lines(text: str, delimiter: str, *, whole: bool = True) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not empty, numbered from 1; a quoted cell may contain line breaks. Raises FileError,
    also for an unclosed quotation mark. `whole` false skips that check, for the beginning of a file."""
    csv.field_size_limit(LONGEST_CELL)
    source = _Source(_without_sep(text))
    reader = csv.reader(source, delimiter=delimiter)
    line = 0
    while True:
        line += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            raise FileError(
                f"Line {line} has a cell of more than {LONGEST_CELL:,} characters. "
                "Is a quotation mark missing?"
            ) from None
        if source.ended and whole:
            # The reader asked for a line past the end, so the last row is incomplete.
            raise FileError(f"The quotation mark opened on line {line} is never closed.")
        if whole and source.broken(delimiter):
            raise FileError(
                f"The quotation mark opened on line {line} swallows the lines below it: "
                "it is closed in the middle of another cell."
            )
        source.row_lines.clear()
        if any(cell.strip() for cell in cells):
            yield line, cells


class _Source:
    """The lines of a text; `row_lines` are those of the current row, `ended` is true once the reader has
    asked for a line past the end."""

    def __init__(self, text: str) -> None:
        self.lines, self.ended = io.StringIO(text, newline=""), False
        self.row_lines: list[str] = []

    def __iter__(self) -> Iterator[str]:
        for line in self.lines:
            self.row_lines.append(line)
            yield line
        self.ended = True

    def broken(self, delimiter: str) -> bool:
        """Whether the row spans several lines and has text after a closing quotation mark."""
        if len(self.row_lines) < 2:
            return False
        try:
            list(csv.reader(self.row_lines, delimiter=delimiter, strict=True))
        except csv.Error:
            return True
        return False


def _without_sep(text: str) -> str:
    """The text without Excel's first line `sep=;`, which names the delimiter."""
    match = _SEP.match(text)
    return text[match.end() :] if match else text


def sniff(text: str) -> str:
    """The delimiter that splits the first lines into the most even rows; a comma if none does."""
    if (match := _SEP.match(text)) and match[1] in DELIMITERS:
        return match[1]
    head = text[:65_536]
    return max(DELIMITERS, key=lambda delimiter: _evenness(head, delimiter))


def _evenness(head: str, delimiter: str) -> tuple[float, int, int]:
    widths: Counter[int] = Counter()
    lines = filled_lines(head, delimiter, whole=False)
    try:
        for _, (_line, cells) in zip(range(SAMPLE_LINES), lines, strict=False):
            widths[len(cells)] += 1
    except FileError:
        return (0.0, 0, 0)
    if not widths:
        return (0.0, 0, 0)
    width, frequency = max(widths.items(), key=lambda item: (item[1], item[0]))
    if width < 2:
        return (0.0, 0, 0)
    share = frequency / widths.total()
    # Nine even lines out of ten are enough, so that one ragged line doesn't hide the delimiter.
    return (1.0 if share >= 0.9 else share, width, -DELIMITERS.index(delimiter))
