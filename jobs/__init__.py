"""The worker process. `worker` runs it and looks for due accounts, `tasks` runs a turn of one account, and
`job_runner` runs background jobs."""
