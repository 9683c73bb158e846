"""Screens of enrollments, and the commands behind their buttons."""
