"""Commands of members on enrollments.

`membership` adds, removes, retries and settles; `progress` pauses, resumes, skips and jumps."""
