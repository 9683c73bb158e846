"""Reads text into the value that a contact stores, by the type of the field. `value_of` is the entry point;
the readers of single types are for conditions and steps too.

A contact stores text, numbers, booleans and lists of options as such; dates as YYYY-MM-DD, moments in UTC as
YYYY-MM-DDTHH:MM:SSZ (so that their order as text is that of time), members by id."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from app.filters.facts import UTC_ZONE
from app.filters.fields import FieldSpec, FieldType, FieldValue, ids_by_name
from app.filters.money import money_text, read_money
from app.filters.times import day_start, instant

LONGEST_VALUE = 5000
LONGEST_LONG_TEXT = 20_000
LARGEST_NUMBER = 1e15
MOST_CHOSEN = 200
FIRST_YEAR, LAST_YEAR = 1000, 8999  # of moments: leaves room for zone offsets and spans
_BOOLEANS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d{1,6})?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_STORED_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


def value_of(spec: FieldSpec, text: str, zone: ZoneInfo = UTC_ZONE) -> FieldValue:
    """The stored form of this text in the field; None for blank text. Times without an offset are local to
    `zone`. Raises ValueError with a message when the text does not fit the type."""
    text = text.strip()
    if text == "":
        return None
    longest = LONGEST_LONG_TEXT if spec.type is FieldType.LONG_TEXT else LONGEST_VALUE
    if "\0" in text or len(text) > longest:
        raise ValueError(f"{spec.label} can have at most {longest} regular characters.")
    read = _READERS.get(spec.type)
    return read(text, spec, zone) if read is not None else text


def read_number(item: object) -> int | float:
    """A finite number of at most 15 digits before the decimal point; whole numbers become int."""
    if isinstance(item, bool) or not isinstance(item, str | int | float):
        raise ValueError("Enter a number, such as 12 or 3.5.")  # noqa: TRY004 -- one kind of error for all bad values
    try:
        number = (
            float(item)
            if not isinstance(item, str) or re.fullmatch(r"[\s\deE.+-]{1,40}", item, re.ASCII)
            else math.nan
        )
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("Enter a number, such as 12 or 3.5.")
    if abs(number) > LARGEST_NUMBER:
        raise ValueError("The number is too large. Use at most 15 digits.")
    return int(number) if number.is_integer() else number


def read_date(item: object) -> date:
    """A calendar date written as YYYY-MM-DD."""
    text = str(item).strip()
    try:
        # Python accepts more formats; the database must get only this one.
        return date.fromisoformat(text if _DATE.fullmatch(text) else "")
    except ValueError:
        raise ValueError("Enter the date as YYYY-MM-DD, such as 2026-03-31.") from None


def read_moment(item: object) -> date | datetime:
    """A date, or a date with a time; without an offset the time is local to the account."""
    text = str(item).strip()
    if not _MOMENT.fullmatch(text):
        return read_date(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError("Enter the date and time as YYYY-MM-DDTHH:MM, such as 2026-03-31T09:30.")
    return moment


def stored_moment(typed: date | datetime, zone: ZoneInfo) -> str:
    """A typed date or time as contacts store it; of a date its first instant in the zone. Raises ValueError
    for one so near an end of the calendar that it has no local time in some zone."""
    if not FIRST_YEAR <= typed.year <= LAST_YEAR:
        raise ValueError(f"Enter a year from {FIRST_YEAR} to {LAST_YEAR}.")
    if not isinstance(typed, datetime):
        moment = day_start(typed, zone)
    else:
        moment = typed.astimezone(UTC) if typed.tzinfo else instant(typed, zone)
    return f"{moment.replace(tzinfo=None, microsecond=0).isoformat()}Z"


def moment_of(value: object) -> datetime | None:
    """The moment that a contact stores in a date-and-time field; None for anything else."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or _STORED_MOMENT.fullmatch(value) is None:
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None


def yes_or_no(text: str, spec: FieldSpec) -> bool:
    """Yes or no, in one of the spellings of forms, files and steps."""
    if text.strip().lower() not in _BOOLEANS:
        raise ValueError(f"{spec.label} must be yes or no.")
    return _BOOLEANS[text.strip().lower()]


def read_id(item: object, what: str) -> UUID:
    """An id that the member chose from a list; `what` is its noun in the message of the ValueError."""
    try:
        return UUID(str(item))
    except ValueError:
        raise ValueError(f"Choose {what} from the list.") from None


def _member(text: str, spec: FieldSpec) -> str:
    """The id of a member given by id, or by a name that only one member has."""
    matches = ids_by_name(text, spec.names or {})
    return matches[0] if len(matches) == 1 else str(read_id(text, "a member"))


def option_of(text: str, spec: FieldSpec) -> str:
    """The text, if it is an option of the field or the field has no options. Raises ValueError.

    Only new values are checked: a stored filter with a removed option matches no contact."""
    if spec.options and text not in spec.options:
        raise ValueError(
            f"{spec.label} has no option “{text[:60]}”. Its options are {', '.join(spec.options)}."
        )
    return text


def options_of(texts: Iterable[str], spec: FieldSpec) -> FieldValue:
    """The options that these texts name, in the order of the field; None for none. Raises ValueError."""
    chosen = {option_of(as_spelled(text.strip(), spec), spec) for text in texts if text.strip()}
    return [option for option in spec.options if option in chosen] or None


def split_options(text: str, options: Iterable[str]) -> list[str]:
    """Several options in one text, as in a cell of a file: each on a line, or separated by semicolons or
    commas. An option may contain a comma itself."""
    folded = {option.casefold() for option in options}
    if text.strip().casefold() in folded:
        return [text]
    for separator in ("\n", ";"):
        if separator in text:
            return text.split(separator)
    parts, names = text.split(","), []
    # How many parts an option with commas has, the longest ones first.
    sizes = sorted({option.count(",") + 1 for option in folded if "," in option}, reverse=True)
    while parts:
        size = next((n for n in sizes if ",".join(parts[:n]).strip().casefold() in folded), 1)
        names.append(",".join(parts[:size]))
        parts = parts[size:]
        if len(names) > MOST_CHOSEN:
            return [text]  # no field has so many options
    return names


def as_spelled(text: str, spec: FieldSpec) -> str:
    """The option that differs from the text in nothing but case, if it is the only one; else the text."""
    if text in spec.options:
        return text
    same = [option for option in spec.options if option.casefold() == text.casefold()]
    return same[0] if len(same) == 1 else text


# Fields of other types store the text.
_READERS: dict[FieldType, Callable[[str, FieldSpec, ZoneInfo], FieldValue]] = {
    FieldType.NUMBER: lambda text, _spec, _zone: read_number(text),
    FieldType.MONEY: lambda text, spec, _zone: read_money(text, spec.currency),
    FieldType.BOOLEAN: lambda text, spec, _zone: yes_or_no(text, spec),
    FieldType.DATE: lambda text, _spec, _zone: read_date(text).isoformat(),
    FieldType.DATETIME: lambda text, _spec, zone: stored_moment(read_moment(text), zone),
    FieldType.SELECT: lambda text, spec, _zone: option_of(as_spelled(text, spec), spec),
    FieldType.MULTI_SELECT: lambda text, spec, _zone: options_of(split_options(text, spec.options), spec),
    FieldType.USER: lambda text, spec, _zone: _member(text, spec),
}


def value_text(spec: FieldSpec, value: object, zone: ZoneInfo, names: Mapping[str, str] | None = None) -> str:
    """A stored value for people: members by name, moments in the zone, amounts with their currency. `names`
    are those of the members when the field doesn't know them."""
    if spec.type is FieldType.USER:
        return (names if names is not None else spec.names or {}).get(str(value), "")
    if spec.type is FieldType.MONEY:
        return money_text(value, spec.currency)
    if spec.type is FieldType.DATETIME:
        moment = moment_of(value)
        return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M") if moment else ""
    return plain_text(value)


def plain_text(value: object) -> str:
    """A value for people whatever its field: yes and no, whole numbers without a point, options in a row."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
