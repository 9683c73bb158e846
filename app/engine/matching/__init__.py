"""From events to enrollments.

In: new events of one account. Out: decisions, new enrollments, and enrollments that wake up or end.
Entry point: `matcher.match_events`.
"""
