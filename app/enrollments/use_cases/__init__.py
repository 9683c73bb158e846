"""Commands of members on enrollments.

`membership` adds and removes; `progress` pauses, resumes, skips and jumps; `effects` retries a step, and
settles, retries and cancels its effect."""
