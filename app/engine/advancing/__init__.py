"""Due enrollments, advanced a batch at a time.

In: enrollments that are due. Out: one transaction with everything that their steps do.
Entry point: `runner.advance_enrollments`.
"""
