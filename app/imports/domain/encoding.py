"""Decodes the bytes of a file. `decode` goes by the byte order mark, else it tries the usual encodings."""

import codecs

BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
LABELS = {
    "utf-8": "UTF-8",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "cp1252": "Windows-1252",
    "latin-1": "Latin-1",
}
# File types that are often chosen by mistake, by their first bytes.
NOT_TEXT = (
    (b"PK\x03\x04", "This is a spreadsheet or a zip file. Save the sheet as CSV and upload that."),
    (b"\xd0\xcf\x11\xe0", "This is an old Excel file. Save the sheet as CSV and upload that."),
    (b"%PDF", "This is a PDF. Upload the table as CSV."),
)
UNREADABLE = "This file isn't text. Save the table as CSV (UTF-8) and upload that."
LOOK = 4096


class FileError(ValueError):
    """The file cannot be imported; the message says what to do."""


def decode(content: bytes) -> tuple[str, str]:
    """The text without its byte order mark, and the name of its encoding. Raises FileError for bytes that are
    not text."""
    for start, sentence in NOT_TEXT:
        if content.startswith(start):
            raise FileError(sentence)
    for bom, codec, label in BOMS:
        if content.startswith(bom):
            return _strict(content, codec), label
    for codec in _candidates(content[:LOOK]):
        try:
            text = content.decode(codec)
        except UnicodeDecodeError:
            continue
        return _clean(text), LABELS[codec]
    raise FileError(UNREADABLE)


def _candidates(start: bytes) -> tuple[str, ...]:
    """Encodings to try in turn. Latin text in UTF-16 has a zero in every second byte."""
    half = max(len(start) // 2, 1)
    if start[1::2].count(0) > half * 0.4:
        return ("utf-16-le",)
    if start[0::2].count(0) > half * 0.4:
        return ("utf-16-be",)
    return ("utf-8", "cp1252", "latin-1")


def _strict(content: bytes, codec: str) -> str:
    try:
        return _clean(content.decode(codec))
    except UnicodeDecodeError:
        raise FileError(
            "The file is marked as Unicode but is damaged. Export it again as CSV (UTF-8)."
        ) from None


def _clean(text: str) -> str:
    if "\0" in text:
        raise FileError(UNREADABLE)
    return text
