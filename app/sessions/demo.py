"""The demo's sign-ins, shown only on its sign-in page."""

from app.permissions import Role
from app.sessions.schemas import DemoPerson

PASSWORD = "switchyard-demo"  # noqa: S105 -- meant to be known: the demo listens on loopback and is empty of secrets
PEOPLE = [
    DemoPerson("owner@acme.test", PASSWORD, Role.OWNER, "Acme"),
    DemoPerson("operator@acme.test", PASSWORD, Role.OPERATOR, "Acme"),
    DemoPerson("viewer@acme.test", PASSWORD, Role.VIEWER, "Acme"),
    DemoPerson("owner@globex.test", PASSWORD, Role.OWNER, "Globex"),
]
