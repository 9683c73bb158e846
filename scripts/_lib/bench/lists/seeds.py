"""The large account whose lists are measured, and a small one beside it.

Values are spread by a hash of the contact's number, so that none of them stands together in the order of a
list. Tags are on 30 % of the contacts, custom fields on half of them; three contacts have what is rare."""

from uuid import UUID

import msgspec

from app.filters.ast import Group, Op, Predicate
from db.ids import uuid7
from scripts._lib.bench.http.seeds import (
    MEMBERS,
    Seeded,
    add_fields,
    add_member,
    choose,
    email_of,
)
from scripts._lib.bench.step_throughput import bench_steps
from scripts._lib.bench.testbed import Testbed

TAGS = {"customer": "i % 10 < 3", "vip": "i % 1000 = 7", "pilot": "i <= 26", "unused": "false"}
SEGMENTS = {
    "Northwind in Texas": Group("all", [
        Predicate("company", Op.STARTS, "northwind"), Predicate("state", Op.IS, "TX"),
    ]),
    "Pilots": Group("all", [Predicate("city", Op.IS, "Ultima Thule")]),
    "Without consent": Group("all", [Predicate("email_consent", Op.ANY_OF, ["denied"])]),
}  # fmt: skip
H = "(hashint4(i) & 1073741823)"  # a number that looks like chance
FIRST = choose(
    ("Maria", "James", "Wei", "Fátima", "Liam", "Olga", "Noah", "Inés", "Ravi", "Emma"), f"({H} / 7)"
)
LAST = choose(
    ("Garcia", "Smith", "Chen", "Khan", "Murphy", "Novak", "Jensen", "Silva", "Patel", "Brown", "Rossi"),
    f"({H} / 101)",
)
COMPANY = choose(
    ("Northwind", "Contoso", "Fabrikam", "Initech", "Globex", "Umbrella", "Hooli"), f"({H} / 1009)"
)
INSERT_CONTACTS = f"""
insert into contacts
       (account_id, id, first_name, last_name, email, phone, company, address, city, state, postal_code,
        country, website, external_id, owner_id, email_consent, fields, created_at, updated_at)
select $1, gen_random_uuid(), first_name, last_name || ' ' || {H} % 5000,
       lower(company) || i || '@mail' || {H} % 300 || '.example',
       '+1' || 2000000000::bigint + {H} % 800000000, company || ' ' || {H} % 400,
       10 + i % 890 || ' Market Street',
       case when i % 333333 = 5 then 'Ultima Thule' when {H} % 20 = 0 then 'Springfield'
            else 'Town ' || {H} % 3000 end,
       {choose(("CA", "TX", "MA", "WA", "IL"), f"({H} / 13)")},
       lpad((10000 + i % 80000)::text, 5, '0'), 'US', 'https://www.' || lower(company) || '.example',
       'C-' || i,
       case when i % 3 > 0 then ($3::uuid[])[1 + {H} % cardinality($3::uuid[])] end,
       case when i % 333333 = 9 then 'denied' when i % 2 = 0 then 'granted' else 'unknown' end,
       case when i % 2 = 0 then jsonb_build_object(
            ($4::uuid[])[1], {H} % 5000, ($4::uuid[])[2],
            {choose(("Basic", "Team", "Enterprise"), f"({H} / 3)")},
            ($4::uuid[])[3], to_char(date '2027-01-01' + {H} % 1500, 'YYYY-MM-DD'),
            ($4::uuid[])[4], 'Trade fair')
            else '{{}}' end,
       now() - i * interval '1 minute', now() - ({H} % 1000000) * interval '1 minute'
  from generate_series(1, $2::int) i,
       lateral (select {FIRST} as first_name, {LAST} as last_name, {COMPANY} as company) names
"""  # noqa: S608 -- constants
INSERT_TAGS = """
insert into contact_tags (account_id, contact_id, tag_id)
select account_id, id, $2 from (select account_id, id, substr(external_id, 3)::int as i
                                  from contacts where account_id = $1) c where {condition}
"""
INDEX_FIELD = "update custom_fields set slot = $2, indexed = true where id = $1"
ALL_INDEXES = """
select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as definition
  from pg_index i where i.indrelid = 'contacts'::regclass and not i.indisunique
"""


class Lists(msgspec.Struct, frozen=True):
    """The large account: what its cases refer to, by name."""

    seeded: Seeded
    contacts: int
    tags: dict[str, UUID]
    fields: dict[str, UUID]
    segments: dict[str, UUID]


async def seed_lists(testbed: Testbed, contacts: int, small: int = 5_000) -> Lists:
    """Seed both accounts. Indexes are built when the rows are there, and nothing is checked twice: the rows
    refer to one another."""
    indexes = await testbed.admin.fetch(ALL_INDEXES)
    for index in indexes:
        await testbed.admin.execute(f"drop index {index['name']}")
    await testbed.admin.execute("set session_replication_role = replica")
    try:
        await _seed_account(testbed, "Small", small)
        lists = await _seed_account(testbed, "Large", contacts)
    finally:
        await testbed.admin.execute("reset session_replication_role")
    for index in indexes:
        await testbed.admin.execute(index["definition"])
    await testbed.vacuum()
    return lists


async def _seed_account(testbed: Testbed, name: str, contacts: int) -> Lists:
    account = await testbed.account(name)
    members = [await add_member(testbed, account, person, place) for place, person in enumerate(MEMBERS)]
    fields = dict(
        zip(("budget", "plan", "renewal", "source"), await add_fields(testbed, account), strict=True)
    )
    for slot, field in enumerate(("budget", "renewal"), 1):
        await testbed.admin.execute(INDEX_FIELD, fields[field], slot)
    await testbed.admin.execute(INSERT_CONTACTS, account, contacts, members, [*fields.values()])
    tags = {}
    for tag, condition in TAGS.items():
        tags[tag] = await testbed.tag(account, tag)
        await testbed.admin.execute(INSERT_TAGS.format(condition=condition), account, tags[tag])
    segments = {}
    for segment, filter_ in SEGMENTS.items():
        segments[segment] = uuid7()
        await testbed.admin.execute(
            "insert into segments (account_id, id, name, slug, filter) values ($1, $2, $3, lower($3), $4)",
            account, segments[segment], segment, msgspec.json.encode(filter_).decode(),
        )  # fmt: skip
    workflow = await testbed.workflow(account, bench_steps(tags["vip"]))
    return Lists(
        Seeded(account, members, email_of(account, 0), [], workflow), contacts, tags, fields, segments
    )
