"""The code behind the commands in `scripts/`.

`dev`: what a developer runs each day (dev, test, lint, ci, setup, …) and the servers that tests start.
`bench`: `scripts/bench`, which measures the engine. `faults`: `scripts/faults`, which breaks it on purpose.
"""
