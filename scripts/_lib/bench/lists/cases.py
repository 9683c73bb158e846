"""The cases of `scripts/bench list`: addresses by group and name. A test explains the same ones."""

from urllib.parse import urlencode

import msgspec

from app.filters.ast import Group, Op, Predicate
from scripts._lib.bench.lists.seeds import Lists

SORTS = (
    "name", "email", "company", "phone", "city", "state", "owner", "email_consent", "created_at",
    "updated_at",
)  # fmt: skip
GROUPS = ("first_page", "deep_page", "sorted", "filtered", "search", "count", "tags", "segments")
DEEP = ("-created_at", "name", "-city", "updated_at")
TALLIED = (
    "city: 5 %", "city: three", "city: none", "tag: 30 %", "tag: 26", "select: three", "any of two levels",
    "custom number: 5 %", "custom date: none", "not in a city",
)  # fmt: skip
SEARCHES = {
    "common word": "northwind",
    "two words": "garcia northwind",
    "rare word": "thule",
    "no word": "zzyzx",
    "email address": "contoso100@mail",
    "part of a phone number": "555 01",
    "unused phone number": "(415) 000-0000",
    "one letter": "n",
    "two letters": "wa",
}


class Case(msgspec.Struct, frozen=True):
    """A list: its address, as JSON or as a page."""

    group: str
    name: str
    path: str
    html: bool = False


def address(*conditions: str, path: str = "/contacts", **query: str) -> str:
    pairs = [*(("f", condition) for condition in conditions), *query.items()]
    return f"{path}?{urlencode(pairs)}" if pairs else path


def filters_of(lists: Lists) -> dict[str, tuple[tuple[str, ...], dict[str, str]]]:
    """Conditions and the rest of the query by name."""
    tags, fields, segments = lists.tags, lists.fields, lists.segments
    owner = lists.seeded.members[1]
    small = Group("all", [Predicate("company", Op.IS, "Hooli 7"), Predicate("state", Op.IS_NOT, "CA")])
    nested = msgspec.json.encode(Group("any", [Predicate("city", Op.IS, "Ultima Thule"), small])).decode()
    conditions: dict[str, tuple[str, ...]] = {
        "city: 5 %": ("city:is:Springfield",),
        "city: 0.03 %": ("city:is:town 17",),
        "city: three": ("city:is:Ultima Thule",),
        "city: none": ("city:is:Nowhere",),
        "city: one of": ("city:in:Ultima Thule,Town 3,Town 4",),
        "email: is": ("email:is:contoso100@mail7.example",),
        "email: starts": ("email:starts:northwind77",),
        "email: contains": ("email:contains:hooli1234",),
        "company: starts": ("company:starts:northwind",),
        "company: contains": ("company:contains:thwind 39",),
        "first name: is": ("first_name:is:fátima",),
        "last name: starts": ("last_name:starts:silva 49",),
        "website: contains, none": ("website:contains:zzyzx",),
        "tag: 30 %": (f"tags:any_of:{tags['customer']}",),
        "tag: 0.1 %": (f"tags:any_of:{tags['vip']}",),
        "tag: 26": (f"tags:any_of:{tags['pilot']}",),
        "tag: none": (f"tags:any_of:{tags['unused']}",),
        "two tags": (f"tags:all_of:{tags['customer']},{tags['pilot']}",),
        "select: half": ("email_consent:any_of:granted",),
        "select: three": ("email_consent:any_of:denied",),
        "custom select: a sixth": (f"custom.{fields['plan']}:any_of:Team",),
        "custom number: 5 %": (f"custom.{fields['budget']}:ge:4500",),
        "custom number: few": (f"custom.{fields['budget']}:eq:17",),
        "custom number: none": (f"custom.{fields['budget']}:gt:5000",),
        "custom date: a week": (f"custom.{fields['renewal']}:between:2027-03-01,2027-03-07",),
        "custom date: none": (f"custom.{fields['renewal']}:before:2020-01-01",),
        "owner": (f"owner:is:{owner}",),
        "no owner": ("owner:unassigned",),
        "created: last days": ("created_at:in_last:3 days",),
        "created: long ago": ("created_at:before:2019-01-01",),
        "updated: last days": ("updated_at:in_last:2 days",),
        "segment": (f"segments:any_of:{segments['Northwind in Texas']}",),
        "segment: three": (f"segments:any_of:{segments['Pilots']}",),
        "any of two levels": (nested,),
        "state and tag": ("state:is:TX", f"tags:any_of:{tags['vip']}"),
        "not in a city": ("city:is_not:Springfield",),
        "not a tag": (f"tags:none_of:{tags['customer']}",),
        "not in a segment": (f"segments:none_of:{segments['Pilots']}",),
        "no city": ("city:empty",),
    }
    filters = {name: (items, dict[str, str]()) for name, items in conditions.items()}
    by_name = {"sort": "name"}
    filters["tag: 0.1 %, by name"] = (conditions["tag: 0.1 %"], by_name)
    filters["city: 5 %, by name"] = (conditions["city: 5 %"], by_name)
    return filters


def cases_of(lists: Lists, cursors: dict[str, str]) -> list[Case]:
    """Every case. `cursors` are in the middle of the list, by sort."""
    filters = filters_of(lists)
    cases = [
        Case("first_page", "newest", "/contacts"),
        Case("first_page", "newest, page", "/contacts", html=True),
    ]
    for sort in DEEP:
        path = address(sort=sort, after=cursors[sort])
        cases += [Case("deep_page", sort, path), Case("deep_page", f"{sort}, page", path, html=True)]
    sorts = [*SORTS, *(f"custom.{lists.fields[name]}" for name in ("budget", "renewal"))]
    for sort in (*sorts, *(f"-{name}" for name in sorts)):
        cases.append(Case("sorted", sort, address(sort=sort)))
    cases.append(Case("sorted", "name, page", address(sort="name"), html=True))
    for name, (conditions, query) in filters.items():
        cases.append(Case("filtered", name, address(*conditions, **query, count="none")))
    for name in ("city: 5 %", "tag: 30 %", "any of two levels"):
        cases.append(Case("filtered", f"{name}, page", address(*filters[name][0]), html=True))
    for name, q in SEARCHES.items():
        cases.append(Case("search", name, address(q=q, count="none")))
    cases.append(Case("search", "rare word by name, page", address(q="silva 49", sort="name"), html=True))
    for name in TALLIED:
        cases.append(Case("count", name, address(*filters[name][0], path="/contacts/count")))
    for name in ("common word", "rare word", "no word"):
        cases.append(Case("count", f"search: {name}", address(q=SEARCHES[name], path="/contacts/count")))
    cases += [Case("tags", "JSON", "/tags"), Case("tags", "page", "/tags", html=True)]
    cases += [
        Case("segments", "page", "/segments", html=True),
        Case("segments", "counts", "/segments/counts"),
    ]
    return cases
