"""The overview's lines, in the words of the pages they lead to."""

from typing import Any

from app.home.schemas import Failure
from app.operations.titles import title_of

HREFS = {"job": "/jobs/{}", "enrollment": "/enrollments/{}"}


def failure_of(row: Any) -> Failure:
    """Something that failed: a job has the title of the Jobs page."""
    title = title_of(row.title, row.args, row.total) if row.what == "job" else row.title
    return Failure(row.what, row.id, title, row.error or "", row.at, HREFS[row.what].format(row.id))
