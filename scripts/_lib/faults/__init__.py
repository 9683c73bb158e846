"""`scripts/faults`: starts a complete Switchyard, breaks it from one seed, and judges what is left.

`main` is the entry point; `chaos_run` is the long run, `scenarios` holds the single rows of docs/faults.md.

1. `deployment` starts PostgreSQL, Valkey, a web server and workers (forked by `fork_server`).
2. `load_accounts` creates accounts and workflows; `load_generator` adds contacts through the API.
3. `fault_plan` decides what breaks when, `injector` breaks it.
4. `receiver` is the outside world: it records each delivery and is never broken.
5. `judge` compares what was acknowledged, what the database says and what was received. Its parts are
   `expected_outcomes`, `delivery_checks` and `write_observers.sql`. `minimum_counts` rejects runs that prove
   nothing.
"""
