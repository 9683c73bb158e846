"""Statements that claim background jobs, renew the claim before each batch and write how a job ended.

CLAIM_JOB raises the fence; each of the others names the fence of its claim: a worker that lost its lease
updates no row.
"""

from sqlalchemy import text

from db.queries.effect_claims import LEASE_INTERVAL

# Short, because the row stays locked while a batch is written: it only bridges the time between two batches.
JOB_LEASE_INTERVAL = f"{LEASE_INTERVAL} / 4"

CLAIM_JOB = text(f"""
with x as materialized (
        select id from jobs
         where account_id = current_account() and due_at <= cast(:now as timestamptz)
           and (status = 'queued' or status = 'running' and lease_until < clock_timestamp())
         order by due_at, id limit 1 for update skip locked)
update jobs j set status = 'running', fence = j.fence + 1,
       lease_until = clock_timestamp() + {JOB_LEASE_INTERVAL},
       attempts = j.attempts + 1, started_at = coalesce(j.started_at, clock_timestamp())
  from x
 where j.account_id = current_account() and j.id = x.id
returning j.id, j.fence, j.attempts, j.max_attempts, j.task
""")  # noqa: S608 -- a constant
# The row stays locked through the batch: no other transaction can claim or cancel the job meanwhile.
RENEW_JOB = text(f"""
update jobs set lease_until = clock_timestamp() + {JOB_LEASE_INTERVAL}
 where account_id = current_account() and id = :id and fence = :fence and status = 'running' returning id
""")  # noqa: S608 -- a constant
FINISH_JOB = text("""
update jobs set status = 'done', finished_at = clock_timestamp(), lease_until = null, error = null
 where account_id = current_account() and id = :id and fence = :fence and status = 'running' returning id
""")
REQUEUE_JOB = text("""
update jobs set status = 'queued', due_at = cast(:due_at as timestamptz), lease_until = null, error = :error,
       attempts = attempts - :forgiven
 where account_id = current_account() and id = :id and fence = :fence and status = 'running' returning id
""")
FAIL_JOB = text("""
update jobs set status = 'failed', finished_at = clock_timestamp(), lease_until = null, error = :error
 where account_id = current_account() and id = :id and fence = :fence and status = 'running' returning id
""")
