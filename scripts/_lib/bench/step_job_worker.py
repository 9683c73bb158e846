"""For comparison: a worker process with one SAQ job per step instead of batches.

    python -m scripts._lib.bench.step_job_worker ACCOUNT TAG TAG_NAME CONCURRENCY

Each job loads its enrollment, runs one step in its own transaction and enqueues the next step. It uses plain
asyncpg without an ORM, so it is as fast as this design allows.

The protocol is that of `engine_worker`: it reads `go`, `stop` and `exit`, and writes one line for every
`REPORT_EVERY` jobs.
"""

import asyncio
import logging
import sys
import time
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from saq import Queue, Worker

from app.settings import Settings
from db.ids import uuid7

QUEUE_NAME = "one-job-per-step"
REPORT_EVERY = 20

LOAD_ENROLLMENT = """
select e.id, e.contact_id, e.workflow_id, e.root_event_id, e.depth, e.step_key, e.seq, c.city, c.country,
       c.company, w.name as workflow_name, clock_timestamp() as now,
       array(select t.tag_id from contact_tags t
              where t.account_id = current_account() and t.contact_id = c.id) as tags
  from enrollments e join contacts c on c.account_id = e.account_id and c.id = e.contact_id
  join workflows w on w.account_id = e.account_id and w.id = e.workflow_id
 where e.account_id = current_account() and e.id = $1 and e.status = 'active' and e.due_at <= now()
   for update of e
"""
INSERT_EXECUTION = """
insert into enrollment_executions
       (enrollment_id, seq, step_key, kind, started_at, finished_at, outcome, detail)
values ($1, $2, $3, $4, $5, $6, $7, $8::jsonb)
"""
UPDATE_CITY = """
update contacts set city = $2, rev = rev + 1, updated_at = $3
 where account_id = current_account() and id = $1
"""
INSERT_TAG = "insert into contact_tags (contact_id, tag_id) values ($1, $2) on conflict do nothing"
INSERT_EVENT = """
insert into events (id, kind, subject_id, source, data, root_event_id, depth, occurred_at)
values ($1, $2, $3, 'workflow', $4::jsonb, $5, $6, $7)
"""
INSERT_AUDIT_ENTRY = """
insert into audit_logs
       (id, occurred_at, actor_kind, actor_id, actor_name, action, subject_kind, subject_id, changes)
values ($1, $2, 'step', $3, $4, $5, 'contact', $6, $7::jsonb)
"""
MOVE_ENROLLMENT = """
update enrollments set step_key = $2, seq = $3, fence = fence + 1, updated_at = $4
 where account_id = current_account() and id = $1
"""
START_WAIT = """
update enrollments set step_key = 's5', seq = $2, fence = fence + 1, updated_at = $3::timestamptz,
       due_at = $3::timestamptz + interval '1 hour', wait_until = $3::timestamptz + interval '1 hour',
       wait_reason = 'timer'
 where account_id = current_account() and id = $1
"""
CLOSE_WAIT = """
update enrollment_executions set finished_at = $3, outcome = 'passed'
 where account_id = current_account() and enrollment_id = $1 and seq = $2
"""
END_ENROLLMENT = """
update enrollments set step_key = 's6', seq = $2, fence = fence + 1, updated_at = $3::timestamptz,
       ended_at = $3::timestamptz, due_at = null, wait_until = null, wait_reason = null, status = $4,
       exit_reason = $5, goal_key = $6
 where account_id = current_account() and id = $1
"""


class StepJobs:
    """The jobs that move the enrollments of one account."""

    def __init__(self, pool: asyncpg.Pool, queue: Queue, account: UUID, tag: UUID, tag_name: str) -> None:
        self.pool, self.queue, self.account = pool, queue, account
        self.tag, self.tag_name = tag, tag_name
        self.done = 0

    async def step(self, _context: Any, *, enrollment: str) -> None:
        """Run one step of an enrollment, then enqueue the next, unless it waits or has ended."""
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute("select set_config('app.account_id', $1, true)", str(self.account))
            row = await connection.fetchrow(LOAD_ENROLLMENT, UUID(enrollment))
            if row is None:
                return
            run_step = {
                None: self.branch, "s2": self.update, "s3": self.update, "s4": self.add_tag, "w": self.wait,
            }.get(row["step_key"], self.goal)  # fmt: skip
            has_next = await run_step(connection, row)
        if has_next:
            await self.queue.enqueue("step", enrollment=enrollment, timeout=60)
        self.done += 1
        if self.done % REPORT_EVERY == 0:
            print(time.monotonic(), REPORT_EVERY, flush=True)

    async def insert_execution(
        self, connection: Any, row: Any, key: str, kind: str, outcome: str | None, detail: Any
    ) -> None:
        finished = row["now"] if outcome else None
        await connection.execute(
            INSERT_EXECUTION,
            row["id"],
            row["seq"] + 1,
            key,
            kind,
            row["now"],
            finished,
            outcome,
            _json(detail),
        )

    async def insert_event(
        self, connection: Any, row: Any, key: str, kind: str, data: Any, changes: Any
    ) -> None:
        now, contact = row["now"], row["contact_id"]
        await connection.execute(
            INSERT_EVENT, uuid7(), kind, contact, _json(data), row["root_event_id"], row["depth"] + 1, now
        )
        await connection.execute(
            INSERT_AUDIT_ENTRY, uuid7(), now, f"{row['workflow_id']}:{key}", row["workflow_name"], kind,
            str(contact), _json(changes),
        )  # fmt: skip

    async def move_to(self, connection: Any, row: Any, key: str) -> bool:
        await connection.execute(MOVE_ENROLLMENT, row["id"], key, row["seq"] + 1, row["now"])
        return True

    async def branch(self, connection: Any, row: Any) -> bool:
        lane = "france" if (row["country"] or "").casefold() == "fr" else "else"
        await self.insert_execution(connection, row, "s1", "branch", "taken", {"branch": lane})
        return await self.move_to(connection, row, "s2" if lane == "france" else "s3")

    async def update(self, connection: Any, row: Any) -> bool:
        key, old, new = row["step_key"], row["city"], "Lyon" if row["step_key"] == "s2" else "Oslo"
        await connection.execute(UPDATE_CITY, row["contact_id"], new, row["now"])
        detail = {"field": "city", "old": old, "new": new, "changed": old != new}
        await self.insert_execution(connection, row, key, "update_field", "done", detail)
        changes = {"city": [old, new]}
        await self.insert_event(connection, row, key, "contact.updated", {"changes": changes}, changes)
        return await self.move_to(connection, row, "s4")

    async def add_tag(self, connection: Any, row: Any) -> bool:
        new = self.tag not in row["tags"]
        await connection.execute(INSERT_TAG, row["contact_id"], self.tag)
        detail = {"tag": str(self.tag), "changed": new}
        await self.insert_execution(connection, row, "s4", "add_tag", "done", detail)
        changes = {"tag": [None, self.tag_name]}
        await self.insert_event(connection, row, "s4", "tag.added", {"tag_id": str(self.tag)}, changes)
        return await self.move_to(connection, row, "w")

    async def wait(self, connection: Any, row: Any) -> bool:
        await self.insert_execution(connection, row, "s5", "wait", None, {"until": row["now"].isoformat()})
        await connection.execute(START_WAIT, row["id"], row["seq"] + 1, row["now"])
        return False

    async def goal(self, connection: Any, row: Any) -> bool:
        met = (row["company"] or "").casefold() == "customer"
        await connection.execute(CLOSE_WAIT, row["id"], row["seq"], row["now"])
        await self.insert_execution(connection, row, "s6", "goal", "met" if met else "unmet", {})
        end = ("completed", "goal_met", "s6") if met else ("incomplete", "finished", None)
        await connection.execute(END_ENROLLMENT, row["id"], row["seq"] + 1, row["now"], *end)
        return False


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


async def main(account: UUID, tag: UUID, tag_name: str, concurrency: int) -> None:
    """Serve until `exit` or the end of the input."""
    logging.getLogger("saq").setLevel(logging.ERROR)
    settings = Settings.from_env()
    counting = {"app.counts": "on"}  # as in `testbed`
    pool = await asyncpg.create_pool(
        settings.database_url, min_size=concurrency, max_size=concurrency, server_settings=counting
    )
    queue = Queue.from_url(settings.redis_url, name=QUEUE_NAME)
    steps = StepJobs(pool, queue, account, tag, tag_name)
    print("ready", flush=True)
    started_cpu, running = 0.0, None
    while (line := (await asyncio.to_thread(sys.stdin.readline)).strip()) not in ("", "exit"):
        if line == "go" and running is None:
            worker: Worker[Any] = Worker(
                queue, functions=[("step", steps.step)], concurrency=concurrency, dequeue_timeout=1.0
            )
            running = asyncio.create_task(worker.start())
        if line == "go":
            started_cpu = time.process_time()
        else:
            print("stopped", time.process_time() - started_cpu, flush=True)


if __name__ == "__main__":
    asyncio.run(main(UUID(sys.argv[1]), UUID(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
