"""Times as stored, in local time, and the instants they become.

In: rules (waits, schedules, sending windows, drips), a time zone and an instant. Out: the next instant.

Entry points: `wait_times.wait_end` (waits), `occurrences.due_occurrences` (schedule and date triggers),
`sending_window.next_opening`, `drip.take_slot`. The rules themselves are in `recurrence` and `cron`; local
times become instants in `app/filters/times.py`, which handles daylight saving time."""
