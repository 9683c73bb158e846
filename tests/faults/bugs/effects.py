"""Bugs in effects and jobs: leases, fences, doubt, retries."""

from tests.faults.bugs import Bug

JOB_CLAIMS = "db/queries/job_claims.py"
EFFECT_CLAIMS, DISPATCHER = "db/queries/effect_claims.py", "app/engine/effects/dispatcher.py"
EFFECT_TESTS = "tests/integration/engine/effects/test_dispatcher.py"
JOB_RUNNER_TESTS = "tests/integration/jobs/test_job_runner.py"

BUGS = (
    Bug(
        "outcome-without-fence",
        "A worker that lost its lease writes its outcome anyway.",
        EFFECT_CLAIMS,
        "f.id = :id and f.fence = :fence and f.status = 'claimed'\nreturning f.id\n",
        "f.id = :id and f.status = 'claimed'\nreturning f.id\n",
        (EFFECT_TESTS, "-k", "lost_the_lease"),
    ),
    Bug(
        "start-without-fence",
        "A worker that lost its lease starts the call anyway.",
        EFFECT_CLAIMS,
        "f.id = y.id and f.fence = :fence and f.status",
        "f.id = y.id and f.fence >= :fence and f.status",
        (EFFECT_TESTS, "-k", "lost_the_lease"),
    ),
    Bug(
        "confirm-before-send",
        "An email counts as sent before the call.",
        DISPATCHER,
        "        outcome = await send_by_channel(runtime, account_id, effect)\n",
        "        await write_outcome(runtime, account_id, effect, attempts, Sent())\n"
        "        outcome = await send_by_channel(runtime, account_id, effect)\n",
        (EFFECT_TESTS, "-k", "doubt_holds or refusal_for_good"),
    ),
    Bug(
        "retry-a-permanent-refusal",
        "A 5xx of a mail server is retried.",
        DISPATCHER,
        "outcome.permanent and not spared:",
        "outcome.permanent and spared:",
        (EFFECT_TESTS, "-k", "refusal_for_good or end_for_each_outcome"),
    ),
    Bug(
        "doubt-ignores-the-policy",
        "In doubt, a step that may re-send is held, and one that must not is sent again.",
        EFFECT_CLAIMS,
        "and (o.on_doubt = 'hold' or o.attempts >= :attempts)",
        "and (o.on_doubt = 'resend' or o.attempts >= :attempts)",
        (EFFECT_TESTS, "-k", "worker_that_died"),
    ),
    Bug(
        "claim-in-doubt",
        "An effect in doubt is claimed again although its step says hold.",
        EFFECT_CLAIMS,
        "and (o.started_at is null or o.on_doubt = 'resend'))",
        "and true)",
        ("tests/faults/test_leases.py", "-k", "doubt"),
    ),
    Bug(
        "lease-by-the-engine-clock",
        "A lease ends by the engine's clock, which tests move and operators shift.",
        EFFECT_CLAIMS,
        "or o.lease_until < clock_timestamp()",
        "or o.lease_until < cast(:now as timestamptz)",
        ("tests/faults/test_leases.py", "-k", "clock"),
    ),
    Bug(
        "start-after-the-end",
        "An effect of an enrollment that has ended is sent.",
        EFFECT_CLAIMS,
        "case when e.status <> 'active' then 'The enrollment ended before this was sent.'\n"
        "                    when w.status",
        "case when w.status",
        ("tests/faults/test_leases.py", "-k", "ended"),
    ),
    Bug(
        "backoff-without-cap",
        "The backoff doubles without a limit.",
        "app/engine/effects/backoff.py",
        "delay = min(FIRST_SECONDS * 2 ** max(attempts - 1, 0), MAX_SECONDS)",
        "delay = FIRST_SECONDS * 2 ** max(attempts - 1, 0)",
        (EFFECT_TESTS, "-k", "pauses_grow"),
    ),
    Bug(
        "backoff-without-jitter",
        "Effects that failed together are retried together.",
        "app/engine/effects/backoff.py",
        "(1 + random.random() / 4)",
        "(1 + 1 / 8)",
        ("tests/faults/test_leases.py", "-k", "together"),
    ),
    Bug(
        "retry-without-end",
        "An effect that never succeeds is retried for ever.",
        DISPATCHER,
        "if attempts >= MAX_ATTEMPTS and not spared:",
        "if attempts > 10 * MAX_ATTEMPTS and not spared:",
        (EFFECT_TESTS, "-k", "end_for_each_outcome or given_up"),
    ),
    Bug(
        "send-while-held",
        "The engine says that it is on hold, and sends.",
        "db/queries/due_work.py",
        "           and not exists (select from engine_state i where i.held_at is not null)\n",
        "",
        ("tests/faults/test_restore_guard.py", "-k", "claims_nothing"),
    ),
    Bug(
        "restore-unnoticed",
        "The engine works on a database that is older than its last heartbeat.",
        "app/engine/recovery/restore_guard.py",
        "newest > row.heartbeat_at + SLACK",
        "newest > row.heartbeat_at + 10_000 * SLACK * 100",
        ("tests/faults/test_restore_guard.py", "-k", "holds_once"),
    ),
    Bug(
        "job-continues-without-fence",
        "A worker that lost a job runs its next batch, beside the worker that took it over.",
        JOB_CLAIMS,
        "update jobs set lease_until = clock_timestamp() + {JOB_LEASE_INTERVAL}\n"
        " where account_id = current_account() and id = :id and fence = :fence and",
        "update jobs set lease_until = clock_timestamp() + {JOB_LEASE_INTERVAL}\n"
        " where account_id = current_account() and id = :id and fence >= :fence and",
        (JOB_RUNNER_TESTS, "-k", "lost_the_job"),
    ),
    Bug(
        "job-ends-without-fence",
        "A worker that lost a job finishes it while another works on it.",
        JOB_CLAIMS,
        "lease_until = null, error = null\n"
        " where account_id = current_account() and id = :id and fence = :fence and",
        "lease_until = null, error = null\n"
        " where account_id = current_account() and id = :id and fence >= :fence and",
        (JOB_RUNNER_TESTS, "-k", "lost_the_job"),
    ),
)
