"""Circuit breakers: stores them, and delays, probes and releases the effects of a step. Enrollments are
locked before effects, and a transaction that holds a breaker's lock never waits for an enrollment."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.engine.core.circuit_breaker import BreakerState, State, SubjectOutcome
from app.json_types import JsonObject
from db.queries.counters import append_counts, place_changes
from db.queries.effect_claims import ClaimedEffect
from db.queries.statements import execute, fetch_all, fetch_one, fetch_scalar, fetch_scalars

_BREAKER_COLUMNS = "b.workflow_id, b.step_key, b.error_class, b.state, b.until, b.sample"
_BREAKERS_OF_STEP = "b.account_id = current_account() and b.workflow_id = :workflow and b.step_key = :step"
_EFFECTS_OF_STEP = "o.account_id = current_account() and o.workflow_id = :workflow and o.step_key = :step"

# Breakers that hold effects back now, or whose effects are still being released.
_LOCK_ACTIVE_BREAKERS = text(f"""
select {_BREAKER_COLUMNS} from circuit_breakers b
 where b.account_id = current_account() and (b.state <> 'closed' or b.until is not null)
 order by b.workflow_id, b.step_key, b.error_class for update skip locked
""").columns(sample=JSONB)  # noqa: S608 -- constants
_LOCK_STEP_BREAKERS = text(f"""
select {_BREAKER_COLUMNS} from circuit_breakers b where {_BREAKERS_OF_STEP} order by b.error_class for update
""").columns(sample=JSONB)  # noqa: S608 -- constants
_CREATE_BREAKER = text("""
insert into circuit_breakers (workflow_id, step_key, error_class) values (:workflow, :step, :error_class)
on conflict do nothing
""")
_UPDATE_BREAKER = text(f"""
update circuit_breakers b set state = :state, until = cast(:until as timestamptz),
       sample = cast(cast(:sample as text) as jsonb), changed_at = clock_timestamp(),
       opened_at = case when :state = 'closed' then null
                        else coalesce(b.opened_at, cast(:now as timestamptz)) end
 where {_BREAKERS_OF_STEP} and b.error_class = :error_class
""")  # noqa: S608 -- constants
_DELETE_BREAKER = text(f"""
delete from circuit_breakers b
 where {_BREAKERS_OF_STEP} and b.error_class = :error_class
""")  # noqa: S608 -- constants

# One effect of the step, due or not: first of the live version, then never tried, then the one whose last try
# was longest ago. Also an effect whose worker died.
_CLAIM_PROBE = text(f"""
with x as materialized (
        select o.id from effects o
          join workflows w on w.account_id = o.account_id and w.id = o.workflow_id and not w.held
          join enrollments e on e.account_id = o.account_id and e.id = o.enrollment_id
           and e.paused_at is null and e.status = 'active'
         where {_EFFECTS_OF_STEP} and (o.status in ('pending', 'retry')
                or o.status = 'claimed' and o.lease_until < clock_timestamp()
                   and (o.started_at is null or o.on_doubt = 'resend'))
         order by e.version is distinct from w.live_version, o.attempted_at nulls first, o.attempts, o.due_at,
                  o.id limit 1 for update of o skip locked)
update effects f set status = 'claimed', fence = f.fence + 1, started_at = null,
       lease_until = clock_timestamp() + make_interval(secs => cast(:lease as double precision))
  from x
 where f.account_id = current_account() and f.id = x.id
returning f.id, f.fence, f.kind, f.payload, f.idempotency_key, f.on_doubt, f.enrollment_id, f.seq,
       f.workflow_id, f.step_key, f.contact_id, true as probe
""").columns(payload=JSONB)  # noqa: S608 -- constants
_HAS_UNSENT_EFFECTS = text(f"""
select exists (select from effects o
                 join enrollments e on e.account_id = o.account_id and e.id = o.enrollment_id
                  and e.status = 'active'
                where {_EFFECTS_OF_STEP} and o.status in ('pending', 'retry', 'claimed')) as any
""")  # noqa: S608 -- constants
# Due effects of a step with an open breaker wait for its next probe.
_DELAY_DUE_EFFECTS = text(f"""
with x as materialized (
        select o.id, e.id as enrollment_id from effects o
          join enrollments e on e.account_id = o.account_id and e.id = o.enrollment_id and e.seq = o.seq
         where {_EFFECTS_OF_STEP} and o.status in ('pending', 'retry')
           and o.due_at <= cast(:now as timestamptz) and e.status = 'active' and e.paused_at is null
         limit :most for update of e skip locked),
     e as (update enrollments e set wait_reason = 'breaker_open', wait_until = cast(:until as timestamptz)
             from x where e.account_id = current_account() and e.id = x.enrollment_id)
update effects f set due_at = cast(:until as timestamptz) from x
 where f.account_id = current_account() and f.id = x.id and f.status in ('pending', 'retry')
returning f.id
""")  # noqa: S608 -- constants
# Delayed effects become due again, one after the other.
_RELEASE_DELAYED_EFFECTS = text(f"""
with x as materialized (
        select o.id, e.id as enrollment_id from effects o
          join enrollments e on e.account_id = o.account_id and e.id = o.enrollment_id and e.seq = o.seq
         where {_EFFECTS_OF_STEP} and o.status in ('pending', 'retry')
           and e.status = 'active' and e.wait_reason = 'breaker_open'
         order by o.due_at, o.id limit :most for update of e skip locked),
     y as (select x.id, row_number() over () as place from x),
     e as (update enrollments e set wait_reason = 'effect', wait_until = null
             from x where e.account_id = current_account() and e.id = x.enrollment_id)
update effects f
   set due_at = cast(:base as timestamptz) + y.place * make_interval(secs => cast(:each as double precision))
  from y
 where f.account_id = current_account() and f.id = y.id and f.status in ('pending', 'retry')
returning f.id
""")  # noqa: S608 -- constants
# Enrollments that failed for the error class of an open breaker, and were not retried for it before, begin
# the step again.
_RETRY_GIVEN_UP = text("""
with x as materialized (
        select e.id, e.error from enrollments e
          join workflows w on w.account_id = e.account_id and w.id = e.workflow_id and w.status <> 'archived'
          join effects o on o.account_id = e.account_id and o.enrollment_id = e.id and o.seq = e.seq
         where e.account_id = current_account() and e.workflow_id = :workflow
           and e.contact_id = any(cast(:contacts as uuid[])) and e.status = 'failed'
           and e.exit_reason = 'failed_permanent' and o.step_key = :step
           and o.status = 'failed_permanent' and o.error_class = :error_class and o.attempts < :attempts
           and not exists (select from effects p
                            where p.account_id = o.account_id and p.enrollment_id = o.enrollment_id
                              and p.seq < o.seq and p.step_key = o.step_key
                              and p.status = 'failed_permanent' and p.error_class = o.error_class)
           and not exists (select from enrollments l
                            where l.account_id = e.account_id and l.workflow_id = e.workflow_id
                              and l.contact_id = e.contact_id and l.entry_key = e.entry_key
                              and l.status = 'active')
         order by e.id for update of e skip locked)
update enrollments e
   set status = 'active', fence = e.fence + 1, due_at = cast(:now as timestamptz), wait_reason = null,
       wait_until = null, exit_reason = null, error = null, ended_at = null, wake_event_id = null,
       updated_at = cast(:now as timestamptz)
  from x where e.account_id = current_account() and e.id = x.id
returning e.id, e.version, e.step_key, x.error
""")
_PROBE_NOW = text(f"""
update circuit_breakers b set until = cast(:now as timestamptz), changed_at = clock_timestamp()
 where {_BREAKERS_OF_STEP} and b.state = 'open' returning b.error_class
""")  # noqa: S608 -- constants
# Steps that a new version changed: the problem may be solved, so they are probed at once, and the counted
# openings of before are reset.
_REOPEN_CHANGED_STEPS = text("""
update circuit_breakers b set state = 'open', until = cast(:now as timestamptz),
   changed_at = clock_timestamp(),
       sample = b.sample || '{"opened": 0}'
 where b.account_id = current_account() and b.workflow_id = :workflow and b.state <> 'closed'
   and b.step_key = any(cast(:steps as text[]))
""")
_LIST_OPEN_BREAKERS = text("""
select b.workflow_id, b.step_key, b.error_class, b.state, b.until, b.opened_at, w.name as workflow_name,
       w.live_version,
       (select count(*) from effects o
         where o.account_id = b.account_id and o.workflow_id = b.workflow_id and o.step_key = b.step_key
           and o.status in ('pending', 'retry')) as waiting,
       (select o.error from effects o
         where o.account_id = b.account_id and o.workflow_id = b.workflow_id and o.step_key = b.step_key
           and o.error_class = b.error_class order by o.created_at desc limit 1) as error
  from circuit_breakers b
  join workflows w on w.account_id = b.account_id and w.id = b.workflow_id
 where b.account_id = current_account() and b.state <> 'closed'
 order by b.opened_at, b.workflow_id, b.step_key, b.error_class limit 50
""")


class StepPlace(msgspec.Struct, frozen=True):
    """A step of a workflow."""

    workflow_id: UUID
    step_key: str


class _Sample(msgspec.Struct):
    """The part of a breaker that is stored as JSON: only `core.circuit_breaker` reads it."""

    recent: list[SubjectOutcome] = []
    opened: int = 0
    affected: list[str] = []


class StoredBreaker(msgspec.Struct, frozen=True):
    """A breaker as it is stored."""

    workflow_id: UUID
    step_key: str
    error_class: str
    state: str
    until: datetime | None
    sample: JsonObject

    @property
    def breaker(self) -> BreakerState:
        sample = msgspec.convert(self.sample, _Sample)
        return BreakerState(State(self.state), sample.recent, sample.opened, self.until, sample.affected)


class RetriedEnrollment(msgspec.Struct, frozen=True):
    """An enrollment that begins its step again; `error` is what it had failed with."""

    id: UUID
    version: int
    step_key: str | None
    error: str | None


class OpenBreaker(msgspec.Struct, frozen=True):
    """A breaker that is not closed: how many effects are `waiting`, and the latest `error` of its class."""

    workflow_id: UUID
    step_key: str
    error_class: str
    state: str
    until: datetime | None
    opened_at: datetime | None
    workflow_name: str
    live_version: int | None
    waiting: int
    error: str | None


async def lock_active_breakers(session: AsyncSession) -> list[StoredBreaker]:
    """The breakers that hold effects back, or whose effects are still being released, except those that
    another transaction has locked; in the order of their steps."""
    return await fetch_all(session, StoredBreaker, _LOCK_ACTIVE_BREAKERS)


async def lock_step_breakers(session: AsyncSession, step: StepPlace) -> list[StoredBreaker]:
    return await fetch_all(
        session, StoredBreaker, _LOCK_STEP_BREAKERS, workflow=step.workflow_id, step=step.step_key
    )


async def create_breaker(session: AsyncSession, step: StepPlace, error_class: str) -> None:
    """A closed breaker, if there is none."""
    await execute(
        session, _CREATE_BREAKER, workflow=step.workflow_id, step=step.step_key, error_class=error_class
    )


async def update_breaker(
    session: AsyncSession, step: StepPlace, error_class: str, breaker: BreakerState, now: datetime
) -> None:
    sample = _Sample(breaker.recent, breaker.opened, breaker.affected)
    await execute(
        session,
        _UPDATE_BREAKER,
        workflow=step.workflow_id,
        step=step.step_key,
        error_class=error_class,
        state=breaker.state.value,
        until=breaker.until,
        sample=msgspec.json.encode(sample).decode(),
        now=now,
    )


async def delete_breaker(session: AsyncSession, step: StepPlace, error_class: str) -> None:
    await execute(
        session, _DELETE_BREAKER, workflow=step.workflow_id, step=step.step_key, error_class=error_class
    )


async def claim_probe(session: AsyncSession, step: StepPlace, lease: float) -> ClaimedEffect | None:
    """Claims one effect of the step as its probe, due or not."""
    return await fetch_one(
        session, ClaimedEffect, _CLAIM_PROBE, workflow=step.workflow_id, step=step.step_key, lease=lease
    )


async def has_unsent_effects(session: AsyncSession, step: StepPlace) -> bool:
    return bool(
        await fetch_scalar(session, bool, _HAS_UNSENT_EFFECTS, workflow=step.workflow_id, step=step.step_key)
    )


async def delay_due_effects(
    session: AsyncSession, step: StepPlace, now: datetime, until: datetime, most: int
) -> int:
    """Makes due effects of the step wait until then; returns how many."""
    delayed = await fetch_scalars(
        session,
        UUID,
        _DELAY_DUE_EFFECTS,
        workflow=step.workflow_id,
        step=step.step_key,
        now=now,
        until=until,
        most=most,
    )
    return len(delayed)


async def release_delayed_effects(
    session: AsyncSession, step: StepPlace, base: datetime, each: float, most: int
) -> int:
    """Makes delayed effects due from `base` on, one every `each` seconds; returns how many."""
    released = await fetch_scalars(
        session,
        UUID,
        _RELEASE_DELAYED_EFFECTS,
        workflow=step.workflow_id,
        step=step.step_key,
        base=base,
        each=each,
        most=most,
    )
    return len(released)


async def retry_given_up(
    session: AsyncSession,
    step: StepPlace,
    error_class: str,
    contact_ids: Sequence[UUID],
    attempts: int,
    now: datetime,
) -> list[RetriedEnrollment]:
    """Makes those of these contacts begin the step again who failed there for this error class, in fewer than
    so many attempts, and not a second time."""
    retried = await fetch_all(
        session,
        RetriedEnrollment,
        _RETRY_GIVEN_UP,
        workflow=step.workflow_id,
        step=step.step_key,
        error_class=error_class,
        contacts=contact_ids,
        attempts=attempts,
        now=now,
    )
    places = [(step.workflow_id, row.version, row.step_key) for row in retried]
    await append_counts(
        session, place_changes([((*place, "failed"), (*place, "active")) for place in places])
    )
    return retried


async def probe_now(session: AsyncSession, step: StepPlace, now: datetime) -> list[str]:
    """Makes the open breakers of the step due for a probe; returns their error classes."""
    return await fetch_scalars(
        session, str, _PROBE_NOW, workflow=step.workflow_id, step=step.step_key, now=now
    )


async def reopen_changed_steps(
    session: AsyncSession, workflow_id: UUID, steps: Sequence[str], now: datetime
) -> None:
    """Probes these steps at once, as if their breakers had opened for the first time."""
    await execute(session, _REOPEN_CHANGED_STEPS, workflow=workflow_id, steps=steps, now=now)


async def list_open_breakers(session: AsyncSession) -> list[OpenBreaker]:
    """Up to 50 breakers that are not closed, the longest open first."""
    return await fetch_all(session, OpenBreaker, _LIST_OPEN_BREAKERS)
