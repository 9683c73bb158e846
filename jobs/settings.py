"""What runs when: the SAQ queues, their tasks with their limits, and the cron schedules (UTC). Imports
nothing of ours.

A turn is a bounded amount of work of one task for one account. Its job has a key, `task:account:slot:turn`,
because SAQ refuses a key that is still queued or running:

- A turn has one of two numbers, `first_turn(now)` or the one after it, and both change every ten seconds. The
  turn that follows another has the other number: so an account has at most two jobs in a slot, however often
  it is enqueued. A worker that was killed leaves its key behind for over a minute; ten seconds later that key
  is in no other job's way.
- A turn that leaves something to do enqueues the next one at the end of the queue: so accounts take turns.
- The other slots are for an account with much to do, which has two turns in each of two processes. A process
  that has its turns of the account passes a turn on.
"""

import msgspec

QUEUE_PREFIX = "switchyard."  # of the names of the queues in Redis

SWEEP_SECONDS = 1.0  # how often each worker looks for due accounts in PostgreSQL
OVERDUE_SECONDS = 2.0  # an account that is due for so long after it was enqueued gets its turn in the process
CROWDED_SECONDS = 10.0  # the same while jobs of the task wait in Redis: its own is most likely among them
JOBS_PER_OVERDUE = 50  # then for so many jobs that arrive, one overdue account runs in the process
TURN_SECONDS = 0.25  # a turn begins no more batches after this time
TURN_BATCHES = 20
SENDER_FACTOR = 8  # so many times as many sending turns as others at a time: they mostly wait
MOST_HOPS = 3  # how often a turn is passed on by processes that have their turns of the account already
SLOTS = 4  # of an account with much to do: two turns in each of two processes
FIRST_TURN_SECONDS = 10
# Longer than any transaction of a turn may take, and than its lease: a job that is canceled rolls back.
TIMEOUT_BEYOND_LEASE = 300


class TurnTask(msgspec.Struct, frozen=True):
    """A task that works in turns: one SAQ queue. A batch with fewer than `full_batch` rows leaves nothing to
    do. `slots` is how many turns an account has at a time, `senders` says whether its turns mostly wait for
    other servers."""

    name: str
    full_batch: int
    slots: int = 2
    senders: bool = False


class CronTask(msgspec.Struct, frozen=True):
    """A SAQ task that runs by a clock (UTC). `timeout` in seconds; `ttl` is how long Redis keeps the outcome,
    in seconds (what matters is in PostgreSQL)."""

    name: str
    cron: str
    timeout: int
    retries: int = 1
    ttl: int = 60


TURN_TASKS = (
    # Match new events with workflows: who enters, who wakes up, who leaves.
    TurnTask("match", full_batch=500),
    # Advance due enrollments.
    TurnTask("advance", full_batch=500),
    # Send due effects. A turn that hangs holds up its own account only.
    TurnTask("send", full_batch=40, slots=1, senders=True),
    # Fire due schedules, compare watched segments, mark tasks as overdue.
    TurnTask("schedules", full_batch=1),
    # Run background jobs: imports, bulk edits, schedule occurrences.
    TurnTask("jobs", full_batch=1),
)
CRON_TASKS = (
    # Delete contacts, notes and tasks that were deleted 30 days ago, and week-old decisions that a filter did
    # not match.
    CronTask("delete_expired_data", cron="7 * * * *", timeout=600),
    # Delete webhook deliveries and finished schedule jobs older than 30 days, and events as old that nothing
    # refers to.
    CronTask("delete_old_events", cron="37 3 * * *", timeout=3600),
)
TURN_RETRIES = 1  # PostgreSQL is the truth: what a job left undone is still due
TURN_TTL = -1  # Redis forgets a job when it is done
RETENTION_QUEUE = QUEUE_PREFIX + "retention"


def queue_name(task: str) -> str:
    """The SAQ queue of a task that works in turns."""
    return QUEUE_PREFIX + task


def first_turn(now: float) -> int:
    """The number of a turn that nothing comes before; `now` in seconds since 1970."""
    return 2 * int(now / FIRST_TURN_SECONDS)


def following_turn(turn: int, now: float) -> int:
    """The number of the turn after `turn`, which may still be running."""
    return first_turn(now) + 1 - turn % 2


def turn_key(task: str, account_id: str, slot: int, turn: int) -> str:
    """The SAQ key of a turn."""
    return f"{task}:{account_id}:{slot}:{turn}"
