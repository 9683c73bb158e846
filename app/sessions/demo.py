"""The users of the demo, which its sign-in page lists."""

from app.permissions import Role
from app.sessions.schemas import DemoPerson

PASSWORD = "switchyard-demo"  # noqa: S105 -- a public password: the demo listens on loopback and holds no secrets
PEOPLE = [
    DemoPerson("owner@acme.test", PASSWORD, Role.OWNER, "Acme"),
    DemoPerson("operator@acme.test", PASSWORD, Role.OPERATOR, "Acme"),
    DemoPerson("viewer@acme.test", PASSWORD, Role.VIEWER, "Acme"),
    DemoPerson("owner@globex.test", PASSWORD, Role.OWNER, "Globex"),
]
