"""The worker process, `switchyard worker`.

`worker` runs it: it looks for due accounts, takes SAQ jobs (`saq_workers`) and hands both to the executor
(`executors`). `turns` runs a turn: a bounded amount of work of one task for one account. `overdue` decides
which turns run without a SAQ job. `settings` has the tasks and their limits; `job_runner` runs background
jobs."""
