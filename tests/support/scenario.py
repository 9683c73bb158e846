"""One account with workflows and contacts, and words to make things happen in it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from app.engine.core.draft import Draft, WorkflowSettings
from app.engine.core.steps import MAIN, StepConfig
from app.engine.core.triggers import Trigger
from app.engine.core.version import content_hash, freeze
from app.filters.ast import Filter, Op, Predicate
from app.work import Actor, open_work
from app.workflows.domain.draft_edits import insert
from db.ids import uuid7
from jobs.registry import Handler
from jobs.turns import drain
from tests.support.fakes import Outside, TestClock
from tests.support.world import World

USER = Actor("member", "1", "Olive")
Steps = list[StepConfig | tuple[StepConfig, Mapping[str, list[StepConfig]]]]


class Stage:
    def __init__(self, world: World, account: UUID, clock: TestClock, outside: Outside) -> None:
        self.world, self.account, self.clock, self.outside = world, account, clock, outside
        self.runtime = world.runtime

    async def sql(self, statement: str, *values: Any) -> list[Any]:
        return await self.world.sql(statement, *values)

    async def row(self, statement: str, *values: Any) -> Any:
        return (await self.sql(statement, *values))[0]

    async def tag(self, name: str) -> UUID:
        tag_id = uuid7()
        await self.sql(
            "insert into tags (account_id, id, name, slug) values ($1, $2, $3, $3)",
            self.account,
            tag_id,
            name,
        )
        return tag_id

    async def contact(self, **columns: str) -> UUID:
        contact_id = uuid7()
        values = {"first_name": "Ann", "email": f"c{contact_id.hex}@people.example"} | columns
        names = ", ".join(values)
        holes = ", ".join(f"${number}" for number in range(3, 3 + len(values)))
        await self.sql(
            f"insert into contacts (account_id, id, {names}) values ($1, $2, {holes})",  # noqa: S608 -- a name of ours
            self.account, contact_id, *values.values(),
        )  # fmt: skip
        return contact_id

    async def contacts(self, count: int) -> list[UUID]:
        contact_ids = [uuid7() for _ in range(count)]
        await self.sql(
            "insert into contacts (account_id, id, first_name, email) "
            "select $1, i, 'Ann', i::text || '@people.example' from unnest($2::uuid[]) i",
            self.account, contact_ids,
        )  # fmt: skip
        return contact_ids

    async def workflow(
        self,
        steps: Steps,
        trigger: Trigger,
        *,
        status: str = "active",
        entry: Filter | None = None,
        settings: WorkflowSettings | None = None,
    ) -> UUID:
        """Published as version 1."""
        workflow_id = uuid7()
        draft = Draft(triggers=[trigger], entry=entry, settings=settings or WorkflowSettings())
        for item in steps:
            config, lanes = item if isinstance(item, tuple) else (item, {})
            draft = insert(draft, MAIN, len(draft.steps), config)
            key = draft.steps[-1].key
            for name, inside in lanes.items():
                for child in inside:
                    draft = insert(draft, f"{key}.{name}", 999, child)
        version = freeze(draft, workflow_id, 1)
        await self.sql(
            "insert into workflows (account_id, id, name, status) values ($1, $2, 'Welcome', $3)",
            self.account, workflow_id, status,
        )  # fmt: skip
        await self.sql(
            "insert into workflow_versions (account_id, workflow_id, number, document, content_hash) "
            "values ($1, $2, 1, $3::jsonb, $4)",
            self.account, workflow_id, msgspec.json.encode(version).decode(), content_hash(version),
        )  # fmt: skip
        await self.sql("update workflows set live_version = 1 where id = $1", workflow_id)
        return workflow_id

    async def date_field(self, name: str) -> UUID:
        field_id = uuid7()
        await self.sql(
            "insert into custom_fields (account_id, id, key, label, type) values ($1, $2, $3, $3, 'date')",
            self.account, field_id, name,
        )  # fmt: skip
        return field_id

    async def set_date(self, contact: UUID, field: UUID, day: str) -> None:
        """As this contact's only custom value, without an event."""
        await self.sql(
            "update contacts set fields = jsonb_build_object($2::text, $3::text) where id = $1",
            contact, str(field), day,
        )  # fmt: skip

    async def segment(self, condition: Filter) -> UUID:
        segment_id = uuid7()
        await self.sql(
            "insert into segments (account_id, id, name, slug, filter) values ($1, $2, $3, $3, $4)",
            self.account, segment_id, segment_id.hex, msgspec.json.encode(condition).decode(),
        )  # fmt: skip
        return segment_id

    async def add_tag(self, contact: UUID, tag: UUID) -> None:
        """What tagging a contact on a screen does."""
        await self.sql(
            "insert into contact_tags (account_id, contact_id, tag_id) values ($1, $2, $3)",
            self.account, contact, tag,
        )  # fmt: skip
        await self.emit("tag.added", contact, {"tag_id": str(tag)})

    async def change(self, contact: UUID, name: str, value: str) -> None:
        await self.sql(f"update contacts set {name} = $2 where id = $1", contact, value)  # noqa: S608 -- a name of ours
        await self.emit("contact.updated", contact, {"changes": {name: [None, value]}})

    async def emit(self, kind: str, contact: UUID, data: Mapping[str, Any] | None = None) -> UUID:
        async with open_work(self.runtime, self.account, USER) as work:
            event_id = work.emit(kind, contact, data)
            await work.commit()
            return event_id

    async def job(self, task: str, handlers: Mapping[str, Handler] | None = None, **args: Any) -> UUID:
        async with open_work(self.runtime, self.account, USER) as work:
            job_id = work.add_job("default", task, args)
            await work.commit()
            return job_id

    async def drain(self, **later: float) -> int:
        self.clock.forward(**later)
        return await drain(self.runtime, self.account)

    async def enrollment(self, contact: UUID) -> Any:
        return await self.row("select * from enrollments where contact_id = $1", contact)

    async def path(self, contact: UUID) -> list[tuple[str, str | None]]:
        rows = await self.sql(
            "select x.kind, x.outcome from enrollment_executions x join enrollments e "
            "on e.id = x.enrollment_id where e.contact_id = $1 order by e.entered_at, x.seq",
            contact,
        )
        return [(row["kind"], row["outcome"]) for row in rows]

    async def effect(self, contact: UUID) -> Any:
        return await self.row("select * from effects where contact_id = $1", contact)

    async def now(self) -> datetime:
        row = await self.row("select clock_timestamp() as now")
        return row["now"] + self.clock.offset  # type: ignore[no-any-return]  # asyncpg's rows are untyped


def ask(field: str, op: Op | str, value: Any = None) -> Predicate:
    return Predicate(field, Op(op), value)
