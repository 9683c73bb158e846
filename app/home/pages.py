"""The totals and the failures on the Overview. The failures are the lines of the Jobs page, without those
that are retried automatically."""

from app.home.schemas import Failure, OverviewTile
from app.operations.failures import failing_now
from app.work import Work
from db.queries.overview import count_totals


async def failures(work: Work) -> list[Failure]:
    """Failed jobs, and contacts by step and cause, the latest first."""
    lines, _ = await failing_now(work)
    return [
        Failure(line.what, line.id, line.title, line.error, line.note, line.at, line.href, line.contacts)
        for line in lines
        if line.state != "retry"
    ]


async def tiles(work: Work) -> list[OverviewTile]:
    """The totals of the account."""
    totals = await count_totals(work.session)
    failed = "none failed" if not totals.failed else f"{totals.failed:,} failed"
    doubt = "nothing in doubt" if not totals.doubt else f"{totals.doubt:,} in doubt"
    return [
        OverviewTile("contacts", "Contacts", totals.contacts, "in this account", "/contacts"),
        OverviewTile("workflows", "Live workflows", totals.workflows, "published", "/workflows"),
        OverviewTile(
            "enrollments", "Active enrollments", totals.enrollments, doubt, "/enrollments", totals.doubt > 0
        ),
        OverviewTile(
            "jobs", "Jobs", totals.jobs, f"waiting or running, {failed}", "/jobs", totals.failed > 0
        ),
    ]
