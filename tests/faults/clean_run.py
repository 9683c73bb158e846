"""A small correct run for the judge of `scripts/faults`: one contact in two workflows, four deliveries.

`fill` writes the rows; `CleanRun` adds the deliveries and answers, and changes both for a test.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from scripts._lib.faults.load_accounts import LoadAccount, OfferedContact
from scripts._lib.faults.receiver import ReceivedDelivery, Receiver

ACCOUNT, CONTACT = "00000000-0000-7000-8000-00000000000a", "00000000-0000-7000-8000-00000000000c"
JOURNEY, FOLLOWER = "00000000-0000-7000-8000-0000000000e1", "00000000-0000-7000-8000-0000000000e2"
EMAIL = "c1@a0.example"
STEPS = (("welcome", "email", JOURNEY, 2), ("report", "webhook", JOURNEY, 3),
         ("early", "webhook", FOLLOWER, 1), ("note", "email", FOLLOWER, 2))  # fmt: skip

ROWS = f"""
insert into accounts (id, name) values ('{ACCOUNT}', 'Account 0');
insert into tags (account_id, id, name, slug) values ('{ACCOUNT}', gen_random_uuid(), 'entered', 'entered');
insert into contacts (account_id, id, email, first_name, state, company)
values ('{ACCOUNT}', '{CONTACT}', '{EMAIL}', 'Ann', 'CA', 'West');
insert into contact_tags (account_id, contact_id, tag_id) select '{ACCOUNT}', '{CONTACT}', id from tags;
insert into audit_logs (account_id, id, occurred_at, actor_kind, actor_id, actor_name,
                        action, subject_kind, subject_id)
values ('{ACCOUNT}', gen_random_uuid(), clock_timestamp(), 'system', '', 'Faults',
        'contact.created', 'contact', '{CONTACT}');
insert into workflows (account_id, id, name, status)
select '{ACCOUNT}', gen_random_uuid(), name, 'active' from unnest(array['journey', 'follower']) name;
insert into workflow_versions (account_id, workflow_id, number, document, content_hash)
select account_id, id, number, '{{}}', '' from workflows, generate_series(1, 2) number;
insert into enrollments (account_id, id, workflow_id, version, contact_id, event_id, root_event_id,
                         status, seq, wait_reason, due_at, entered_at)
select account_id, case name when 'journey' then '{JOURNEY}' else '{FOLLOWER}' end::uuid, id, 1, '{CONTACT}',
       id, id, 'active', 3, 'effect', null, clock_timestamp() - interval '1 hour' from workflows;
insert into enrollment_executions (account_id, enrollment_id, seq, step_key, kind, started_at, finished_at,
                                   outcome, detail)
select '{ACCOUNT}', e.id, n, 's' || n, 'wait', e.entered_at + n * interval '1 minute',
       e.entered_at + n * interval '1 minute', 'passed', jsonb_build_object('until', e.entered_at)
  from enrollments e, generate_series(1, 3) n;
"""  # noqa: S608 -- constants
EFFECT = """
insert into effects (account_id, id, enrollment_id, seq, workflow_id, contact_id, step_key, kind,
                     idempotency_key, payload, on_doubt, due_at)
select account_id, gen_random_uuid(), id, $2, workflow_id, contact_id, $3, $4, 'key/' || $3,
       jsonb_build_object('subject', $3, 'url', 'http://127.0.0.1:1/' || account_id || '/' || $3 || '/x'),
       'hold', clock_timestamp()
  from enrollments where id = $1
"""
SENT = """
update effects set status = 'claimed', fence = 1, lease_until = clock_timestamp() + interval '1 minute';
update effects set started_at = clock_timestamp(), attempts = 1;
update effects set status = 'sent', lease_until = null, sent_at = clock_timestamp();
update enrollments set status = case id when '{JOURNEY}' then 'incomplete' else 'completed' end,
       exit_reason = 'finished', wait_reason = null, ended_at = clock_timestamp();
"""
CLAIM = "update effects set status = 'claimed', fence = 2, lease_until = now() where step_key = 'early';"
# Without the triggers of the judge a statement is only wrong as a row, not as a write.
WITHOUT_TRIGGERS, WITH_TRIGGERS = (
    f"set local session_replication_role = {role};" for role in ("replica", "origin")
)


async def fill(url: str) -> None:
    """Write the rows of the run into an empty database."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(ROWS)
        for step, kind, enrollment, seq in STEPS:
            await connection.execute(EFFECT, enrollment, seq, step, kind)
        await connection.execute(SENT.replace("{JOURNEY}", JOURNEY))
    finally:
        await connection.close()


@dataclass
class CleanRun:
    """What the judge reads, see `scripts._lib.faults.judge.JudgedRun`.

    The connection is in a transaction that the fixture rolls back."""

    connection: asyncpg.Connection
    receiver: Receiver
    accounts: list[LoadAccount]
    logs: Path

    @classmethod
    def create(cls, connection: asyncpg.Connection, logs: Path) -> "CleanRun":
        at = time.time()
        deliveries = [
            ReceivedDelivery(kind, f"{EMAIL}/{step}", f"key/{step}", ACCOUNT, at,
                     *((step, f"<key.{step}@receiver>") if kind == "email" else ()))
            for step, kind, _, _ in STEPS
        ]  # fmt: skip
        contact = OfferedContact(ACCOUNT, EMAIL, at, id=CONTACT, status=201)
        return cls(
            connection, Receiver(deliveries=deliveries), [LoadAccount(0, id=ACCOUNT, offered=[contact])], logs
        )

    @property
    def contact(self) -> OfferedContact:
        return self.accounts[0].offered[0]

    async def sql(self, statement: str, *values: Any) -> list[Any]:
        return list(await self.connection.fetch(statement, *values))

    async def value(self, statement: str, *values: Any) -> Any:
        return (await self.sql(statement, *values))[0][0]

    async def do(self, script: str, *, with_triggers: bool = False) -> None:
        """Run statements, in which {CLAIM}, {JOURNEY} and {FOLLOWER} are replaced."""
        for name, value in (("{CLAIM}", CLAIM), ("{JOURNEY}", JOURNEY), ("{FOLLOWER}", FOLLOWER)):
            script = script.replace(name, value)
        await self.connection.execute((WITH_TRIGGERS if with_triggers else WITHOUT_TRIGGERS) + script)

    def log(self, name: str) -> Path:
        return self.logs / name

    def delivery(self, step: str) -> int:
        """The position of a step's delivery among those that were received."""
        return next(
            at for at, delivery in enumerate(self.receiver.deliveries) if delivery.visit.endswith(f"/{step}")
        )
