"""The failures on the Overview: the lines of the Jobs page, without those that are retried automatically."""

from app.home.schemas import Failure
from app.operations.failures import failing_now
from app.work import Work


async def failures(work: Work) -> list[Failure]:
    """Failed jobs, and contacts by step and cause, the latest first."""
    lines, _ = await failing_now(work)
    return [
        Failure(line.what, line.id, line.title, line.error, line.note, line.at, line.href, line.contacts)
        for line in lines
        if line.state != "retry"
    ]
