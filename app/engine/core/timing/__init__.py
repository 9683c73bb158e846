"""Times as stored, in local time, and the instants they become.

In: rules (waits, schedules, sending windows, drips), a time zone and an instant. Out: the next instant."""
