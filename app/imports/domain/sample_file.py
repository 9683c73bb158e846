"""A sample file for trying the import; its content is always the same."""

import csv
import io

HEADER = (
    "first_name", "last_name", "company_name", "address", "city", "county", "state", "zip", "phone1",
    "phone2", "email", "web",
)  # fmt: skip
FIRST = ("Ada", "Bruno", "Chidi", "Dalia", "Emil", "Farah", "Goran", "Hana", "Ivo", "Jun")
LAST = ("Marsh", "Okafor", "Lindqvist", "Rossi", "Tanaka", "Vega", "Novak", "Haddad", "Brandt", "Silva")
COMPANIES = ("Marsh, Vega & Co", "Northwind Tools", "Harbor Printing", "Quill, Inc", "Copper Kettle")
PLACES = (
    ("Springfield", "Clark", "OH", "45503", "937"),
    ("Salem", "Marion", "OR", "97301", "503"),
    ("Albany", "Albany", "NY", "12207", "518"),
    ("Austin", "Travis", "TX", "78701", "512"),
    ("Fresno", "Fresno", "CA", "93721", "559"),
)


def sample_rows(count: int) -> list[list[str]]:
    """Rows under HEADER: made-up contacts with numbers and domains that are reserved for examples."""
    rows = []
    for number in range(count):
        first, last = FIRST[number % 10], LAST[(number // 10 + number) % 10]
        city, county, state, code, area = PLACES[number % 5]
        row = [
            first, last, COMPANIES[number * 7 % 5], f"{number + 10} Example St #{number % 9 + 1}", city,
            county, state, code, f"{area}-555-{100 + number % 100:04d}", f"{area}-555-{number % 100:04d}",
            f"{first}.{last}.{number}@example.com".lower(), f"https://www.example.com/{number}",
        ]  # fmt: skip
        rows.append(row)
    return rows


def sample_csv(count: int = 25) -> str:
    """The sample as CSV with CRLF line ends."""
    return as_csv([list(HEADER), *sample_rows(count)])


def as_csv(rows: list[list[str]], ends: str = "\r\n", delimiter: str = ",") -> str:
    """Rows as CSV; cells are quoted where needed."""
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=ends, delimiter=delimiter).writerows(rows)
    return out.getvalue()
