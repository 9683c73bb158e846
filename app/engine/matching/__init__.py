"""From events to enrollments.

In: new events of one account. Out: decisions, new enrollments, woken or ended ones.
Entry point: `matcher.match_events`.
"""
