"""Compares the counters of an account with what they count."""

from db.queries.counter_folds import TRUE_COUNTS

_KEY = "family, subject_id, version, step_key, state, lane"
_TRUTH = " union all ".join(
    f"select '{family}' as family, t.* from ({counts.replace('current_account()', 'cast($1 as uuid)')}) t"  # noqa: S608 -- constants
    for family, counts in TRUE_COUNTS.items()
)
# The families of account $1 whose counters are read, and not scanned.
KNOWN_FAMILIES = """
select s.family from counter_states s
 where s.account_id = $1 and s.counted_at is not null
   and not exists (select from counter_deltas d
                    where d.account_id = s.account_id and d.family = s.family and d.n is null)
"""
# Counts of account $1 that differ from its rows. What is left of deleted tags and segments is never read.
WRONG_COUNTS = f"""
with known as ({KNOWN_FAMILIES}),
     subjects as (
       select id from tags where account_id = $1 union all select id from segments where account_id = $1),
     counted as (
       select {_KEY}, sum(n) as n from (
         select {_KEY}, n from counters where account_id = $1
         union all
         select {_KEY}, n from counter_deltas where account_id = $1) c
        where family not in ('tags', 'segments') or subject_id in (select id from subjects)
        group by {_KEY}),
     truth as ({_TRUTH})
select {_KEY}, coalesce(c.n, 0) as counted, coalesce(t.n, 0) as rows
  from counted c full join truth t using ({_KEY})
 where family in (select family from known) and coalesce(c.n, 0) <> coalesce(t.n, 0)
"""  # noqa: S608 -- constants
