"""The accounts that are measured, seeded in sets: tags, custom fields, owners, notes, history, enrollments.

`seed_accounts` makes one account of a few thousand contacts among accounts with very many more. What the
lists and the page of a contact show is there in realistic numbers: three tags on 30 % of the contacts, custom
values on half, an owner on two of three, three audit entries each.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.credentials import HASHER
from db.ids import uuid7
from scripts._lib.bench.step_throughput import bench_steps
from scripts._lib.bench.testbed import Testbed

PASSWORD = "correct horse battery"  # noqa: S105 -- of accounts that live for one run
MEMBERS = ("Olive Owner", "Otto Operator", "Petra Partner", "Quinn Quick")
TAGS = ("customer", "newsletter", "partner", "renewal", "trial", "vip")
FIELDS = (
    ("budget", "Budget", "number", "[]"),
    ("plan", "Plan", "select", '["Basic", "Team", "Enterprise"]'),
    ("renewal", "Renewal", "date", "[]"),
    ("source", "Source", "text", "[]"),
)


def choose(values: Sequence[str], number: str = "i") -> str:
    """SQL that takes these values in turn."""
    listed = ", ".join(f"'{value}'" for value in values)
    return f"(array[{listed}])[1 + {number} % {len(values)}]"


FIRST = choose(("Maria", "James", "Wei", "Fatima", "Liam", "Olga", "Noah", "Ines", "Ravi", "Emma", "Kofi"))
LAST = choose(
    ("Garcia", "Smith", "Chen", "Khan", "Murphy", "Novak", "Jensen", "Silva", "Patel", "Brown", "Rossi"),
    "(i / 3)",
)
COMPANY = choose(("Northwind", "Contoso", "Fabrikam", "Initech", "Globex", "Umbrella", "Hooli"))
INSERT_CONTACTS = f"""
insert into contacts
       (account_id, id, first_name, last_name, email, phone, company, address, city, county, state,
        postal_code, country, website, external_id, owner_id, email_consent, fields, created_at, updated_at)
select $1, uuidv7(), first_name, last_name, lower(first_name || '.' || last_name) || i || '@' || domain,
       '+1415555' || lpad((i % 10000)::text, 4, '0'), company || ' ' || i % 400,
       10 + i % 890 || ' Market Street',
       {choose(("San Francisco", "Austin", "Boston", "Seattle", "Chicago"))},
       {choose(("San Francisco", "Travis", "Suffolk", "King", "Cook"))},
       {choose(("CA", "TX", "MA", "WA", "IL"))},
       lpad((10000 + i % 80000)::text, 5, '0'), 'United States', 'https://www.' || domain, 'C-' || i,
       case when i % 3 > 0 then ($3::uuid[])[1 + i % cardinality($3::uuid[])] end,
       {choose(("granted", "granted", "unknown", "denied"))},
       case when i % 2 = 0 then jsonb_build_object(
            ($4::uuid[])[1], i % 5000, ($4::uuid[])[2], {choose(("Basic", "Team", "Enterprise"))},
            ($4::uuid[])[3], to_char(date '2027-01-01' + i % 365, 'YYYY-MM-DD'),
            ($4::uuid[])[4], 'Trade fair')
            else '{{}}' end,
       clock_timestamp() - i * interval '1 minute', clock_timestamp() - i * interval '20 seconds'
  from generate_series(1, $2::int) i,
       lateral (select {FIRST} as first_name, {LAST} as last_name, {COMPANY} as company) names,
       lateral (select lower(company) || '.example' as domain) domains
"""  # noqa: S608 -- constants
INSERT_CONTACT_TAGS = """
insert into contact_tags (account_id, contact_id, tag_id)
select c.account_id, c.id, t.id
  from (select account_id, id, row_number() over (order by id) as i from contacts where account_id = $1) c
  join (select id, row_number() over (order by id) as n from tags where account_id = $1) t
    on c.i % 10 < 3 and (c.i + t.n) % 2 = 0
"""
INSERT_AUDIT = """
insert into audit_logs
       (account_id, id, occurred_at, actor_kind, actor_id, actor_name, action, subject_kind, subject_id,
        changes)
select c.account_id, uuidv7(), c.created_at + a.n * interval '1 minute', 'member', $2::text, 'Olive Owner',
       a.action, 'contact', c.id::text, a.changes
  from contacts c,
       (values (0, 'contact.created', '{"first_name": [null, "Maria"], "last_name": [null, "Chen"]}'::jsonb),
               (1, 'contact.updated', '{"city": ["Austin", "Boston"], "state": ["TX", "MA"]}'),
               (2, 'tag.added', '{"tag": [null, "newsletter"]}')) a(n, action, changes)
 where c.account_id = $1
"""
INSERT_EVENTS = """
insert into events (account_id, id, kind, subject_id, source, root_event_id, occurred_at, matched_at)
select account_id, id, 'contact.created', id, 'user', id, created_at, created_at
  from contacts where account_id = $1
"""
INSERT_NOTES = """
insert into notes (account_id, id, contact_id, body, author_kind, author_id, author_name)
select account_id, uuidv7(), id, 'Asked for the new price list, and wants to hear from us in spring.',
       'member', $2::text, 'Olive Owner'
  from contacts where account_id = $1 and owner_id is not null
"""
INSERT_ENROLLMENTS = """
insert into enrollments
       (account_id, id, workflow_id, version, contact_id, event_id, root_event_id, status, entered_at,
        ended_at)
select account_id, uuidv7(), $2, 1, id, id, id, 'completed', created_at, created_at + interval '1 hour'
  from contacts where account_id = $1
"""

# Of ten enrollments six wait for a year, three are completed and one has left.
INSERT_PLACES = """
insert into enrollments
       (account_id, id, workflow_id, version, contact_id, event_id, root_event_id, status, step_key, seq,
        due_at, wait_until, wait_reason, exit_reason, entered_at, ended_at)
select account_id, id, $2, 1, id, id, id, status,
       case when status = 'active' then 's5' end, 2,
       case when status = 'active' then now() + interval '1 year' end,
       case when status = 'active' then now() + interval '1 year' end,
       case when status = 'active' then 'timer' end,
       case when status = 'exited' then 'removed' end,
       created_at, case when status <> 'active' then now() end
  from (select account_id, id, created_at,
               (array['active', 'completed', 'active', 'active', 'completed', 'active', 'exited', 'active',
                      'completed', 'active'])[1 + row_number() over (order by id) % 10] as status
          from contacts where account_id = $1) c
"""
INSERT_VISITS = """
insert into enrollment_executions
       (account_id, enrollment_id, seq, step_key, kind, started_at, finished_at, outcome, detail)
select account_id, id, seq, step_key, kind, entered_at, finished_at, outcome, detail::jsonb
  from (select e.account_id, e.id, e.entered_at, v.seq, v.step_key, v.kind, v.outcome, v.detail,
               case when v.outcome is not null then e.entered_at end as finished_at
          from enrollments e,
               (values (1, 's1', 'branch', 'passed', '{"branch": "else"}'), (2, 's5', 'wait', null, '{}'))
               v(seq, step_key, kind, outcome, detail)
         where e.account_id = $1 and (v.seq = 1 or e.status = 'active')) visits
"""

HAS_COUNTERS = "select to_regclass('counter_states') is not null"
FORGET_COUNTS = "truncate counter_deltas, counters, counter_states"
COUNTED_FAMILIES = "select count(*) from counter_states where account_id = $1 and counted_at is not null"
FAMILIES = 5


@dataclass(frozen=True)
class Seeded:
    """The account that is measured: its members' ids (the first is the owner), the owner's email address, and
    the ids of its newest contacts."""

    account: UUID
    members: list[UUID]
    email: str
    newest: list[UUID]
    workflow: UUID


async def seed_accounts(testbed: Testbed, contacts: int, all_contacts: int, accounts: int) -> Seeded:
    """Seed the measured account and `accounts` others, which share the rest of all contacts."""
    await testbed.clear()
    for number in range(accounts):
        await seed_account(testbed, f"Other {number}", (all_contacts - contacts) // accounts)
    seeded = await seed_account(testbed, "Measured", contacts)
    await testbed.vacuum()
    return seeded


async def seed_account(testbed: Testbed, name: str, contacts: int) -> Seeded:
    """Seed one account with everything."""
    seeded = await seed_contacts(testbed, name, contacts)
    account, owner = seeded.account, str(seeded.members[0])
    await testbed.admin.execute("analyze contacts")
    await testbed.admin.execute(INSERT_CONTACT_TAGS, account)
    await testbed.admin.execute(INSERT_AUDIT, account, owner)
    await testbed.admin.execute(INSERT_EVENTS, account)
    await testbed.admin.execute(INSERT_NOTES, account, owner)
    await testbed.admin.execute(INSERT_ENROLLMENTS, account, seeded.workflow)
    return seeded


async def seed_large_account(testbed: Testbed, contacts: int) -> Seeded:
    """Seed an account with contacts and tags, all of them enrolled in its workflow.

    Foreign keys and triggers don't check what is written: the rows refer to one another."""
    await testbed.admin.execute("set session_replication_role = replica")
    try:
        seeded = await seed_contacts(testbed, "Large", contacts)
        await testbed.admin.execute(INSERT_CONTACT_TAGS, seeded.account)
        await testbed.admin.execute(INSERT_PLACES, seeded.account, seeded.workflow)
        await testbed.admin.execute(INSERT_VISITS, seeded.account)
    finally:
        await testbed.admin.execute("reset session_replication_role")
    await testbed.vacuum()
    return seeded


async def seed_contacts(testbed: Testbed, name: str, contacts: int) -> Seeded:
    """Seed an account with members, tags, custom fields, a workflow and contacts."""
    account = await testbed.account(name)
    members = [await add_member(testbed, account, person, place) for place, person in enumerate(MEMBERS)]
    tags = [await testbed.tag(account, tag) for tag in TAGS]
    fields = await add_fields(testbed, account)
    workflow = await testbed.workflow(account, bench_steps(tags[0]))
    await testbed.admin.execute(INSERT_CONTACTS, account, contacts, members, fields)
    newest = await testbed.admin.fetch(
        "select id from contacts where account_id = $1 order by created_at desc, id desc limit 200", account
    )
    return Seeded(account, members, email_of(account, 0), [row["id"] for row in newest], workflow)


def email_of(account: UUID, place: int) -> str:
    """The email address of a member."""
    return f"member{place}@{account.hex}.example"


async def add_member(testbed: Testbed, account: UUID, name: str, place: int) -> UUID:
    """Insert a user with their membership: the first is the owner, and only the owner can sign in."""
    user = uuid7()
    password = HASHER.hash(PASSWORD) if place == 0 else None
    await testbed.admin.execute(
        "insert into users (id, email, name, password_hash) values ($1, $2, $3, $4)",
        user, email_of(account, place), name, password,
    )  # fmt: skip
    await testbed.admin.execute(
        "insert into memberships (account_id, user_id, role) values ($1, $2, $3)",
        account, user, "operator" if place else "owner",
    )  # fmt: skip
    return user


async def add_fields(testbed: Testbed, account: UUID) -> Sequence[UUID]:
    """Insert the custom fields; return their ids in the order of FIELDS."""
    ids = [uuid7() for _ in FIELDS]
    for place, (field_id, (key, label, kind, options)) in enumerate(zip(ids, FIELDS, strict=True)):
        await testbed.admin.execute(
            "insert into custom_fields (account_id, id, key, label, type, options, position) "
            "values ($1, $2, $3, $4, $5, $6::jsonb, $7)",
            account, field_id, key, label, kind, options, place,
        )  # fmt: skip
    return ids


async def wait_until_counted(testbed: Testbed, seeded: Seeded) -> None:
    """Let the worker count anew what was seeded past the statements that count, and wait for an account."""
    if not await testbed.admin.fetchval(HAS_COUNTERS):
        return
    await testbed.admin.execute(FORGET_COUNTS)
    async with asyncio.timeout(300):
        while await testbed.admin.fetchval(COUNTED_FAMILIES, seeded.account) < FAMILIES:  # noqa: ASYNC110 -- by the worker
            await asyncio.sleep(0.5)
