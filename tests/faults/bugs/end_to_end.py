"""Bugs that `scripts/faults` itself must find, in its short run or in a row: its judge can fail."""

from tests.faults.bugs import Bug

EFFECT_CLAIMS = "db/queries/effect_claims.py"
SHORT_RUN = ("tests/faults/test_short_run.py", "-k", "the_short_run")
# In the short run it is chance whether a stalled worker has a call under way.
STALLED_WORKER_ROW = ("tests/faults/test_short_run.py", "-k", "f09_worker_stalls_past_its_lease")

BUGS = (
    Bug(
        "webhook-without-key",
        "A webhook is called without its idempotency key.",
        "app/integrations/http.py",
        'return headers | {"Idempotency-Key": call.key, "User-Agent"',
        'return headers | {"User-Agent"',
        SHORT_RUN,
    ),
    Bug(
        "email-needs-granted-consent",
        "Contacts without an answer about emails get none, and their enrollments go on.",
        EFFECT_CLAIMS,
        "when f.kind = 'email' and c.email_consent = 'denied'",
        "when f.kind = 'email' and c.email_consent <> 'granted'",
        SHORT_RUN,
    ),
    Bug(
        "outcome-without-fence-in-the-run",
        "A worker that lost its lease overwrites the outcome of the one that has it now.",
        EFFECT_CLAIMS,
        "f.id = :id and f.fence = :fence and f.status = 'claimed'\nreturning f.id\n",
        "f.id = :id and f.fence >= :fence and f.status in ('claimed', 'sent', 'unknown')\nreturning f.id\n",
        STALLED_WORKER_ROW,
    ),
)
