"""The Overview, the first page after signing in."""

from litestar import get
from litestar.di import NamedDependency

from app.home.pages import failures, tiles
from app.home.schemas import Link, Overview
from app.permissions import Permission
from app.web.guards import may
from app.work import Work

LINKS = (
    (
        Permission.IMPORT_CONTACTS,
        Link("Import contacts", "/imports/new", icon="upload", note="from a CSV file"),
    ),
    (Permission.EDIT_CONTACTS, Link("Add a contact", "/contacts/new", icon="users", note="manually")),
    (
        Permission.EDIT_WORKFLOWS,
        Link("Build a workflow", "/workflows", icon="flow", note="triggers, steps, goals"),
    ),
    (
        Permission.MANAGE_MEMBERS,
        Link("Invite a member", "/members", icon="user", note="owner, admin, operator or viewer"),
    ),
    (Permission.VIEW, Link("Use the API", "/schema", icon="code", note="every screen is also JSON")),
)


@get("/", page="home/index.html", guards=[may(Permission.VIEW)], tags=["overview"])
async def overview(work: NamedDependency[Work]) -> Overview:
    """Totals of the account, and what needs attention."""
    links = [link for permission, link in LINKS if work.may(permission)]
    name = work.principal.account_name if work.principal else ""
    return Overview(name, await tiles(work), await failures(work), links, [])
