"""The demo data, the same on every machine; `run` creates it.

Each account is one transaction, so an interrupted run can be repeated, and a second run changes nothing. An
account gets its contacts first, then notes and tasks, workflows, enrollments (`histories`) and jobs."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app.accounts.provisioning import add_account
from app.credentials import hash_password
from app.engine.core.version import compile_version
from app.runtime import Runtime, open_runtime
from app.sessions.demo import PASSWORD
from app.settings import Settings
from app.work import SYSTEM, Work, open_work
from db.models import Account
from db.repositories.fields import FieldRepository
from db.seeds.contacts import sample_contacts, write_contacts
from db.seeds.histories import sample_enrollments, write_histories
from db.seeds.jobs import write_jobs
from db.seeds.notes_tasks import write_notes_tasks
from db.seeds.sample_text import ACME, GLOBEX
from db.seeds.workflows import write_workflows

PEOPLE = {
    "Acme": [
        ("owner@acme.test", "Olivia Owner", "owner"),
        ("operator@acme.test", "Otto Operator", "operator"),
        ("viewer@acme.test", "Vera Viewer", "viewer"),
    ],
    "Globex": [("owner@globex.test", "Gina Globex", "owner")],
}
CONTACTS = {"Acme": 2000, "Globex": 40}


async def run(settings: Settings) -> None:
    """Creates the missing accounts. Raises SystemExit when a demo email address is already in use."""
    runtime = open_runtime(settings, pool_size=1)
    try:
        await create_demo_account(runtime, "Acme", ACME, acme)
        await create_demo_account(runtime, "Globex", GLOBEX, globex)
    except IntegrityError as error:
        raise SystemExit(
            "Can't create the demo: one of its email addresses (…@acme.test) is already in use. "
            "Seed an empty database."
        ) from error
    finally:
        await runtime.close()


async def create_demo_account(
    runtime: Runtime, name: str, account_id: UUID, fill: Callable[[Work], Awaitable[None]]
) -> bool:
    """Creates an account with its members and the data that `fill` adds; False when it already exists."""
    async with open_work(runtime, account_id, SYSTEM) as work:
        if await work.session.scalar(select(Account.id).where(Account.id == account_id)) is not None:
            return False
        members = [
            (email, person, await hash_password(PASSWORD), role) for email, person, role in PEOPLE[name]
        ]
        await add_account(work, name, members)
        await fill(work)
        await work.commit()
        return True


async def acme(work: Work) -> None:
    """Adds 2,000 contacts with notes and tasks, segments, three live workflows with enrollments, and jobs."""
    now = work.now
    contacts = sample_contacts(1, CONTACTS["Acme"], now)
    await write_contacts(work.session, 1, contacts, now)
    await write_notes_tasks(work.session, 1, contacts, now)
    fields = await FieldRepository(session=work.session).catalog()
    versions = await write_workflows(work.session, fields, now - timedelta(days=12))
    programs = {tag: compile_version(version, fields) for tag, version in versions.items()}
    await write_histories(work.session, sample_enrollments(programs, contacts, now))
    await write_jobs(work.session, contacts, now)


async def globex(work: Work) -> None:
    """Adds contacts only: a second account for trying tenant isolation."""
    await write_contacts(work.session, 2, sample_contacts(2, CONTACTS["Globex"], work.now), work.now)
