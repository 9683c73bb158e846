"""The Audit screen: every change with its actor, filtered and in pages."""

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from app.audit.pages import entry_of
from app.audit.schemas import ACTOR_KINDS, FORMER_ACTOR_KINDS, KINDS, AuditList
from app.permissions import Permission
from app.web.guards import may
from app.web.paging import Paging, neighbor_links
from app.web.request_kinds import search_with
from app.work import Work


@get(
    "/audit",
    page="audit/index.html",
    guards=[may(Permission.VIEW_AUDIT)],
    tags=["audit"],
    kind=search_with("actor", "actor_kind", "subject_kind", "subject_id"),
)
async def audit(
    work: NamedDependency[Work],
    paging: NamedDependency[Paging],
    subject_kind: FromQuery[str] = "",
    subject_id: FromQuery[str] = "",
    actor_kind: FromQuery[str] = "",
    actor: FromQuery[str] = "",
) -> AuditList:
    """Every change in the account, newest first. `actor` is the beginning of a name."""
    filters = {
        "subject_kind": subject_kind,
        "subject_id": subject_id,
        "actor_kind": FORMER_ACTOR_KINDS.get(actor_kind, actor_kind),
        "actor": actor,
    }
    entries, more = await work.audit_log.page(
        subject_kind=subject_kind,
        subject_id=subject_id,
        actor_kind=filters["actor_kind"],
        actor=actor,
        after=paging.after,
        before=paging.before,
        limit=paging.size(),
    )
    items = [entry_of(entry) for entry in entries]
    fields = await work.fields.catalog()
    following, previous = neighbor_links("/audit", filters, items, paging, more=more)
    return AuditList(
        items=items,
        next=following,
        previous=previous,
        **filters,
        kinds=list(KINDS),
        actor_kinds=list(ACTOR_KINDS),
        actions=[],
        labels={spec.key: spec.label for spec in fields.values()},
    )
