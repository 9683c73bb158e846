"""`scripts/bench`: measures the engine. `main` is the entry point.

`testbed` starts the servers and seeds the data. Each part has a module: `step_throughput` (beside `sql_bound`
and `step_job_worker`), `matching_throughput`, `lateness` and `memory`. `report` prints the figures beside
their goals.
"""
