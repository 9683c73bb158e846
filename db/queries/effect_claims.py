"""Claims effects, begins their calls and writes their outcomes.

In order: `claim_effects`, `begin_call` right before the call, `write_effect_outcome` after it. A lease ends
by the database's own clock; due times are compared with the engine's time. Every claim raises `fence`, and so
does every command of a member that a claim may not overwrite (not the retry of an effect that only waits for
its next attempt). Every later write of a claim names its fence: a worker that lost its lease updates no row.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.json_types import JsonObject
from db.queries.due_work import due_workflows
from db.queries.statements import execute, fetch_all, fetch_one, fetch_scalars

LEASE_INTERVAL = "make_interval(secs => cast(:lease as double precision))"  # the setting LEASE_SECONDS

# No attempt of the effect `f` was begun, not even as a probe: nothing can have been sent. The later
# conditions are for rows from before the column `attempted_at` existed.
NEVER_TRIED = "f.attempted_at is null and f.attempts = 0 and f.started_at is null and f.error is null"
UNWANTED_CLASS = "unwanted"  # the contact does not want it: it is skipped

# The worker died after the call began, and the effect must not be sent twice or has no attempts left: a
# member decides. The enrollment is locked too, because it is woken next; locking it after the effect could
# deadlock.
_MARK_INTERRUPTED_CALLS = text("""
update effects f set status = 'unknown', fence = f.fence + 1, lease_until = null,
       error = 'The worker stopped while sending, so this may have been sent.'
  from (select o.id from effects o
          join enrollments e on e.account_id = o.account_id and e.id = o.enrollment_id
         where o.account_id = current_account() and o.status = 'claimed'
           and o.lease_until < clock_timestamp() and o.started_at is not null
           and (o.on_doubt = 'hold' or o.attempts >= :attempts)
         limit 500 for update of e, o skip locked) x
 where f.account_id = current_account() and f.id = x.id
returning f.enrollment_id, f.seq
""")
# Which effects `o` of a workflow may be claimed. `offset 0` keeps each subquery a lookup by key, and the
# effects in the order of the index.
_CLAIMABLE_EFFECT = """o.due_at <= cast(:now as timestamptz) and o.status in ('pending', 'retry', 'claimed')
                  and (o.status <> 'claimed'
                       or o.lease_until < clock_timestamp()
                          and (o.started_at is null or o.on_doubt = 'resend'))
                  and exists (select from enrollments e
                               where e.account_id = o.account_id and e.id = o.enrollment_id
                                 and e.paused_at is null offset 0)
                  and not exists (select from circuit_breakers b
                                   where b.account_id = o.account_id and b.workflow_id = o.workflow_id
                                     and b.step_key = o.step_key and b.state <> 'closed' offset 0)"""
# Materialized: a plan that ran the inner query once per row would claim more than it may.
_CLAIM_EFFECTS = text(f"""
with w as materialized ({due_workflows("effects o", _CLAIMABLE_EFFECT, "not w.held")}),
     x as materialized (
        select o.id from w
         cross join lateral (
               select o.id from effects o
                where o.account_id = current_account() and o.workflow_id = w.id
                  and {_CLAIMABLE_EFFECT}
                order by o.due_at limit :most for update of o skip locked) o
         limit :most)
update effects f set status = 'claimed', fence = f.fence + 1, started_at = null,
       lease_until = clock_timestamp() + {LEASE_INTERVAL}
  from x
 where f.account_id = current_account() and f.id = x.id
returning f.id, f.fence, f.kind, f.payload, f.idempotency_key, f.on_doubt, f.enrollment_id, f.seq,
       f.workflow_id, f.step_key, f.contact_id, false as probe
""").columns(payload=JSONB)  # noqa: S608 -- a constant
_INTERNAL, _TRANSACTIONAL = (
    f"coalesce(cast(f.payload ->> '{name}' as boolean), false)" for name in ("internal", "transactional")
)
# Locks the enrollment and the contact until the commit, so that _BEGIN_EFFECT either sees a pause
# or an unsubscription, or it comes later.
_LOCK_EFFECT = text("""
select f.id from effects f
  join enrollments e on e.account_id = f.account_id and e.id = f.enrollment_id
  join contacts c on c.account_id = e.account_id and c.id = e.contact_id
 where f.account_id = current_account() and f.id = :id for share of e, c
""")
# Runs right before the call, after _LOCK_EFFECT: is the effect still claimed by this worker, still wanted,
# and not to wait? It is a statement of its own, because a statement that waits for a lock has read everything
# else as it was before: it would miss a hold that was committed meanwhile. (The workflow is not locked,
# because publishing locks it before enrollments.) A `probe` passes an open breaker and costs no attempt.
_BEGIN_EFFECT = text(f"""
with x as materialized (
        select f.id,
               case when e.status <> 'active' then 'The enrollment ended before this was sent.'
                    when w.status = 'archived' then 'The workflow was archived before this was sent.'
                    when {_INTERNAL} then null
                    when e.seq <> f.seq then 'The enrollment moved on before this was sent.'
                    when c.deleted_at is not null and not e.contact_deleted
                         then 'The contact was deleted before this was sent.' end as refusal,
               case when {_INTERNAL} or {_TRANSACTIONAL} then null
                    when f.kind = 'email' and c.email_consent = 'denied'
                         then 'The contact denied consent to email.'
                    when f.kind = 'sms' and c.sms_consent = 'denied'
                         then 'The contact denied consent to SMS.' end as unwanted,
               w.held or e.paused_at is not null
                or exists (select from engine_state i where i.held_at is not null)
                or not cast(:probe as boolean) and exists (
                    select from circuit_breakers b
                     where b.account_id = f.account_id and b.workflow_id = f.workflow_id
                       and b.step_key = f.step_key and b.state <> 'closed') as later
          from enrollments e
          join effects f on f.account_id = e.account_id and f.enrollment_id = e.id
          join contacts c on c.account_id = e.account_id and c.id = e.contact_id
          join workflows w on w.account_id = e.account_id and w.id = e.workflow_id
         where e.account_id = current_account() and f.id = :id),
     y as (select id, coalesce(refusal, unwanted) as refusal, refusal is null and unwanted <> '' as skip,
                  coalesce(refusal, unwanted) is null and not later as go from x)
update effects f
   set status = case when y.go then 'claimed' when y.refusal is null then 'pending' else 'cancelled' end,
       started_at = case when y.go then clock_timestamp() end,
       attempted_at = case when y.go then clock_timestamp() else f.attempted_at end,
       attempts = f.attempts + case when y.go and not cast(:probe as boolean) then 1 else 0 end,
       fence = f.fence + case when y.go then 0 else 1 end,
       lease_until = case when y.go then clock_timestamp() + {LEASE_INTERVAL} end,
       error = case when y.refusal is null then f.error
                    else concat_ws(' ', y.refusal, 'Last try: ' || f.error) end,
       error_class = case when y.skip then '{UNWANTED_CLASS}' end
  from y
 where f.account_id = current_account() and f.id = y.id and f.fence = :fence and f.status = 'claimed'
   and f.lease_until > clock_timestamp()
returning f.status, f.attempts
""")  # noqa: S608 -- constants
# Claimed by a worker that is about to stop: another one can claim it at once.
_UNCLAIM_EFFECTS = text("""
update effects f set status = 'pending', lease_until = null
  from unnest(cast(:ids as uuid[]), cast(:fences as int[])) v(id, fence)
 where f.account_id = current_account() and f.id = v.id and f.fence = v.fence and f.status = 'claimed'
   and f.started_at is null
""")
# Claimed while its sending window is closed: it becomes due when the window opens. Earlier errors stay.
_POSTPONE_EFFECT = text("""
update effects f
   set status = case when f.error is null then 'pending' else 'retry' end, fence = f.fence + 1,
       lease_until = null, due_at = cast(:due_at as timestamptz)
 where f.account_id = current_account() and f.id = :id and f.fence = :fence and f.status = 'claimed'
   and f.started_at is null
""")
# Whether this worker still holds the effect; `before`: whether its enrollment failed at this step with the
# same error class before.
_LOCK_CLAIMED_EFFECT = text("""
select exists (select from effects p
                where p.account_id = f.account_id and p.enrollment_id = f.enrollment_id
                  and p.seq < f.seq and p.step_key = f.step_key and p.status = 'failed_permanent'
                  and p.error_class = cast(:error_class as text)) as before
  from effects f
 where f.account_id = current_account() and f.id = :id and f.fence = :fence and f.status = 'claimed'
   for update of f
""")
_WRITE_EFFECT_OUTCOME = text("""
update effects f set status = :status, lease_until = null, error = :error, error_class = :error_class,
       result = cast(cast(:result as text) as jsonb), due_at = cast(:due_at as timestamptz),
       sent_at = case when :status = 'sent' then clock_timestamp() end
 where f.account_id = current_account() and f.id = :id and f.fence = :fence and f.status = 'claimed'
returning f.id
""")
_WAKE_WAITING_ENROLLMENTS = text("""
update enrollments e set due_at = cast(:now as timestamptz)
  from unnest(cast(:ids as uuid[]), cast(:seqs as int[])) v(id, seq)
 where e.account_id = current_account() and e.id = v.id and e.seq = v.seq and e.status = 'active'
   and e.paused_at is null
""")
_READ_MEMBER_EMAILS = text("""
select u.email from memberships m join users u on u.id = m.user_id
 where m.account_id = current_account() and u.disabled_at is null
   and m.user_id = any(cast(cast(:ids as text[]) as uuid[])) order by u.email
""")
_INSERT_DELIVERY_EVENT = text("""
insert into events (id, kind, subject_id, source, data, root_event_id, depth, occurred_at)
select :id, :kind, e.contact_id, 'system', cast(cast(:data as text) as jsonb), e.root_event_id, e.depth + 1,
       cast(:now as timestamptz)
  from enrollments e where e.account_id = current_account() and e.id = :enrollment
""")


class ClaimedEffect(msgspec.Struct, frozen=True):
    """An effect that this worker may send while its lease lasts; `fence` is the value of this claim. A
    `probe` is sent to find out whether a step works again."""

    id: UUID
    fence: int
    kind: str
    payload: JsonObject
    idempotency_key: str
    on_doubt: str
    enrollment_id: UUID
    seq: int
    workflow_id: UUID
    step_key: str
    contact_id: UUID
    probe: bool


class InterruptedCall(msgspec.Struct, frozen=True):
    """The visit whose effect was put in doubt."""

    enrollment_id: UUID
    seq: int


class CallStart(msgspec.Struct, frozen=True):
    """What became of an effect right before its call: `claimed` is begun, `pending` has to wait, `cancelled`
    is refused."""

    status: Literal["claimed", "pending", "cancelled"]
    attempts: int


class HeldEffect(msgspec.Struct, frozen=True):
    """A claim that still holds; `before`: its enrollment failed at this step with the same error class."""

    before: bool


async def mark_interrupted_calls(session: AsyncSession, attempts: int) -> list[InterruptedCall]:
    """Puts up to 500 calls in doubt that a dead worker had begun. Those that may be repeated stay, unless
    they have had so many `attempts`."""
    return await fetch_all(session, InterruptedCall, _MARK_INTERRUPTED_CALLS, attempts=attempts)


async def claim_effects(session: AsyncSession, now: datetime, most: int, lease: float) -> list[ClaimedEffect]:
    """Claims up to `most` due effects for `lease` seconds."""
    return await fetch_all(session, ClaimedEffect, _CLAIM_EFFECTS, now=now, most=most, lease=lease)


async def begin_call(session: AsyncSession, effect: ClaimedEffect, lease: float) -> CallStart | None:
    """Marks the effect as begun, unless it has to wait or is refused. None when the claim is lost."""
    await execute(session, _LOCK_EFFECT, id=effect.id)
    return await fetch_one(
        session, CallStart, _BEGIN_EFFECT, id=effect.id, fence=effect.fence, lease=lease, probe=effect.probe
    )


async def unclaim_effects(session: AsyncSession, effects: Sequence[ClaimedEffect]) -> None:
    """Gives back effects that were not begun."""
    ids, fences = [effect.id for effect in effects], [effect.fence for effect in effects]
    await execute(session, _UNCLAIM_EFFECTS, ids=ids, fences=fences)


async def postpone_effect(session: AsyncSession, effect: ClaimedEffect, due_at: datetime) -> None:
    """Gives back an effect that was not begun; it is due again at that time."""
    await execute(session, _POSTPONE_EFFECT, id=effect.id, fence=effect.fence, due_at=due_at)


async def lock_claimed_effect(
    session: AsyncSession, effect: ClaimedEffect, error_class: str | None
) -> HeldEffect | None:
    """Locks the effect; None when the claim is lost."""
    return await fetch_one(
        session,
        HeldEffect,
        _LOCK_CLAIMED_EFFECT,
        id=effect.id,
        fence=effect.fence,
        error_class=error_class,
    )


async def write_effect_outcome(
    session: AsyncSession,
    effect: ClaimedEffect,
    *,
    status: str,
    error: str | None,
    error_class: str | None,
    result: JsonObject | None,
    due_at: datetime,
) -> bool:
    """Ends the claim. False, with nothing written, when it is lost."""
    written = await fetch_scalars(
        session,
        UUID,
        _WRITE_EFFECT_OUTCOME,
        id=effect.id,
        fence=effect.fence,
        status=status,
        error=error,
        error_class=error_class,
        result=None if result is None else msgspec.json.encode(result).decode(),
        due_at=due_at,
    )
    return bool(written)


async def wake_waiting_enrollments(
    session: AsyncSession, visits: Sequence[ClaimedEffect | InterruptedCall], now: datetime
) -> None:
    """Makes the enrollments due that wait at these visits."""
    await execute(
        session,
        _WAKE_WAITING_ENROLLMENTS,
        ids=[visit.enrollment_id for visit in visits],
        seqs=[visit.seq for visit in visits],
        now=now,
    )


async def list_member_emails(session: AsyncSession, user_ids: Sequence[str]) -> list[str]:
    """The addresses of those of these users who are members and not disabled."""
    return await fetch_scalars(session, str, _READ_MEMBER_EMAILS, ids=user_ids)


async def insert_delivery_event(
    session: AsyncSession, event_id: UUID, kind: str, enrollment_id: UUID, data: JsonObject, now: datetime
) -> None:
    """An event about the contact of the enrollment, caused by it."""
    await execute(
        session,
        _INSERT_DELIVERY_EVENT,
        id=event_id,
        kind=kind,
        enrollment=enrollment_id,
        data=msgspec.json.encode(data).decode(),
        now=now,
    )
