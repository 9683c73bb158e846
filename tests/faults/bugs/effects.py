"""Bugs in what leaves the house: leases, fences, doubt, retries."""

from tests.faults.bugs import Bug

JOBS = "db/queries/job_claims.py"
LEDGER, SENDING = "db/queries/effect_claims.py", "app/engine/effects/dispatcher.py"
EFFECTS = "tests/integration/engine/effects/test_dispatcher.py"
DURABLE = "tests/integration/jobs/test_job_runner.py"

BUGS = (
    Bug(
        "outcome-without-fence",
        "Whoever lost the lease writes its outcome all the same.",
        LEDGER,
        "f.id = :id and f.fence = :fence and f.status = 'claimed'\nreturning f.id\n",
        "f.id = :id and f.status = 'claimed'\nreturning f.id\n",
        (EFFECTS, "-k", "lost_the_lease"),
    ),
    Bug(
        "begin-without-fence",
        "Whoever lost the lease begins the call all the same.",
        LEDGER,
        "f.id = y.id and f.fence = :fence and f.status",
        "f.id = y.id and f.fence >= :fence and f.status",
        (EFFECTS, "-k", "lost_the_lease"),
    ),
    Bug(
        "confirm-before-send",
        "The message counts as sent before it is.",
        SENDING,
        "        outcome = await send_by_channel(runtime, account_id, effect)\n",
        "        await write_outcome(runtime, account_id, effect, attempts, Sent())\n"
        "        outcome = await send_by_channel(runtime, account_id, effect)\n",
        (EFFECTS, "-k", "doubt_holds or refusal_for_good"),
    ),
    Bug(
        "retry-a-refusal-for-good",
        "A 5xx of a mail server is tried again.",
        SENDING,
        "outcome.permanent and not spared:",
        "outcome.permanent and spared:",
        (EFFECTS, "-k", "refusal_for_good or end_for_each_outcome"),
    ),
    Bug(
        "doubt-ignores-the-policy",
        "A call that may be repeated is held as well, or one that must not is not.",
        LEDGER,
        "and (o.on_doubt = 'hold' or o.attempts >= :attempts)",
        "and (o.on_doubt = 'resend' or o.attempts >= :attempts)",
        (EFFECTS, "-k", "worker_that_died"),
    ),
    Bug(
        "a-doubt-is-sent-again",
        "What may have gone out is claimed again although its step says hold.",
        LEDGER,
        "and (o.begun_at is null or o.on_doubt = 'resend'))",
        "and true)",
        ("tests/faults/test_leases.py", "-k", "doubt"),
    ),
    Bug(
        "lease-by-the-engines-clock",
        "The lease ends by the clock that tests move and operators shift.",
        LEDGER,
        "or o.lease_until < clock_timestamp()",
        "or o.lease_until < cast(:now as timestamptz)",
        ("tests/faults/test_leases.py", "-k", "clock"),
    ),
    Bug(
        "begin-without-the-status",
        "A message of an enrollment that ended meanwhile goes out.",
        LEDGER,
        "case when e.status <> 'active' then 'The enrollment ended before this was sent.'\n"
        "                    when w.status",
        "case when w.status",
        ("tests/faults/test_leases.py", "-k", "ended"),
    ),
    Bug(
        "no-cap-of-the-pause",
        "Pauses double for ever.",
        "app/engine/effects/backoff.py",
        "delay = min(FIRST_SECONDS * 2 ** max(attempts - 1, 0), MAX_SECONDS)",
        "delay = FIRST_SECONDS * 2 ** max(attempts - 1, 0)",
        (EFFECTS, "-k", "pauses_grow"),
    ),
    Bug(
        "no-jitter",
        "Those who failed together come back together.",
        "app/engine/effects/backoff.py",
        "(1 + random.random() / 4)",
        "(1 + 1 / 8)",
        ("tests/faults/test_leases.py", "-k", "together"),
    ),
    Bug(
        "never-given-up",
        "What never succeeds is tried for ever.",
        SENDING,
        "if attempts >= MAX_ATTEMPTS and not spared:",
        "if attempts > 10 * MAX_ATTEMPTS and not spared:",
        (EFFECTS, "-k", "end_for_each_outcome or given_up"),
    ),
    Bug(
        "held-only-in-words",
        "The engine says that it is held and sends.",
        "db/queries/due_work.py",
        "           and not exists (select from installation i where i.held_at is not null)\n",
        "",
        ("tests/faults/test_restore_guard.py", "-k", "claims_nothing"),
    ),
    Bug(
        "a-restore-goes-unseen",
        "A database that is behind what is known outside is worked on as if nothing were.",
        "app/engine/recovery/restore_guard.py",
        "newest > row.beat_at + SLACK",
        "newest > row.beat_at + 10_000 * SLACK * 100",
        ("tests/faults/test_restore_guard.py", "-k", "holds_once"),
    ),
    Bug(
        "a-job-goes-on-without-its-fence",
        "Whoever lost a job does the next batch all the same, beside the one who took it over.",
        JOBS,
        "update jobs set lease_until = clock_timestamp() + {JOB_LEASE_INTERVAL}\n"
        " where account_id = current_account() and id = :id and fence = :fence and",
        "update jobs set lease_until = clock_timestamp() + {JOB_LEASE_INTERVAL}\n"
        " where account_id = current_account() and id = :id and fence >= :fence and",
        (DURABLE, "-k", "lost_the_job"),
    ),
    Bug(
        "a-job-ends-without-its-fence",
        "Whoever lost a job says that it is done while another works on it.",
        JOBS,
        "lease_until = null, error = null\n"
        " where account_id = current_account() and id = :id and fence = :fence and",
        "lease_until = null, error = null\n"
        " where account_id = current_account() and id = :id and fence >= :fence and",
        (DURABLE, "-k", "lost_the_job"),
    ),
)
