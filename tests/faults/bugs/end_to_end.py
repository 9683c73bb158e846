"""Bugs that the chaos run itself must see, in its short form or in a row that brings about what it takes each
time: the judge of a whole run can fail."""

from tests.faults.bugs import Bug

LEDGER = "db/queries/effect_claims.py"
RUN = ("tests/faults/test_short_run.py", "-k", "the_short_run")
# In the short run it is chance whether a worker that stands still has a call under way.
STALLS = ("tests/faults/test_short_run.py", "-k", "f09_worker_stalls_past_its_lease")

BUGS = (
    Bug(
        "the-key-stays-at-home",
        "A webhook is called without its idempotency key.",
        "app/integrations/http.py",
        'return headers | {"Idempotency-Key": call.key, "User-Agent"',
        'return headers | {"User-Agent"',
        RUN,
    ),
    Bug(
        "letters-are-called-off",
        "Whoever has not said that they want letters gets none, and goes on as if nothing were.",
        LEDGER,
        "when f.kind = 'email' and c.email_consent = 'denied'",
        "when f.kind = 'email' and c.email_consent <> 'granted'",
        RUN,
    ),
    Bug(
        "no-fence-in-the-run",
        "Whoever lost the lease writes its outcome over that of whoever has it now.",
        LEDGER,
        "f.id = :id and f.fence = :fence and f.status = 'claimed'\nreturning f.id\n",
        "f.id = :id and f.fence >= :fence and f.status in ('claimed', 'sent', 'unknown')\nreturning f.id\n",
        STALLS,
    ),
)
