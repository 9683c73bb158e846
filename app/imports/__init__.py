"""Imports of contacts from files.

A member uploads a file and maps its columns (`use_cases`), a job gives each row a verdict (`check_job`), the
member sees the preview (`pages`), and a second job writes the contacts (`run_job`)."""
