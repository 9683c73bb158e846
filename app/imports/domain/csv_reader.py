"""Text into rows of cells: the delimiter, the header, the lines."""

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
    """The table of a file. `has_header` false means that the first line is a contact already; `header` then
    holds "Column 1" and so on. `samples` are the first non-empty cells of each column."""

    encoding: str
    delimiter: str
    has_header: bool
    header: list[str]
    rows: int
    samples: list[list[str]]


def read_table(content: bytes) -> Table:
    """The shape of a file. Raises FileError when there is nothing to import or the limits are exceeded."""
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
    """A name for each column; those without one are numbered."""
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
    also when a cell is still open at the end, unless the text is only the beginning of a file."""
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
            # The reader asks for no further line once a row is complete.
            raise FileError(f"The quotation mark opened on line {line} is never closed.")
        if whole and source.broken(delimiter):
            raise FileError(
                f"The quotation mark opened on line {line} swallows the lines below it: "
                "it is closed in the middle of another cell."
            )
        source.taken.clear()
        if any(cell.strip() for cell in cells):
            yield line, cells


class _Source:
    """The lines of a text; `taken` are those of the current row, `ended` is true once the reader has asked
    for a line past the end."""

    def __init__(self, text: str) -> None:
        self.lines, self.ended = io.StringIO(text, newline=""), False
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        for line in self.lines:
            self.taken.append(line)
            yield line
        self.ended = True

    def broken(self, delimiter: str) -> bool:
        """Whether the row goes over several lines and has text after a closing quotation mark."""
        if len(self.taken) < 2:
            return False
        try:
            list(csv.reader(self.taken, delimiter=delimiter, strict=True))
        except csv.Error:
            return True
        return False


def _without_sep(text: str) -> str:
    """The text without Excel's first line `sep=;`, which names the delimiter."""
    match = _SEP.match(text)
    return text[match.end() :] if match else text


def sniff(text: str) -> str:
    """The delimiter that splits the first lines into the most even rows; a comma when none does."""
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
    width, times = max(widths.items(), key=lambda item: (item[1], item[0]))
    if width < 2:
        return (0.0, 0, 0)
    share = times / widths.total()
    # Nine even lines of ten count as even: one ragged line must not hide the real delimiter.
    return (1.0 if share >= 0.9 else share, width, -DELIMITERS.index(delimiter))
