"""Creates an account with its first owner, for the command line, because a new account has no member who
could sign in."""

from sqlalchemy.exc import IntegrityError

from app.credentials import hash_password, password_problem
from app.email_addresses import normalize_email
from app.runtime import open_runtime
from app.settings import Settings
from app.work import SYSTEM, Work, open_work
from db.ids import uuid7
from db.models import Account, Membership
from db.queries.members import insert_user


async def create_account(settings: Settings, name: str, email: str, owner_name: str, password: str) -> str:
    """Creates the account and its owner; returns a message. Raises `SystemExit` with a message when a user
    already has the email or the password is too weak."""
    address = normalize_email(email)
    problem = (
        "Enter a valid email address."
        if "@" not in address
        else await password_problem(password, address, owner_name)
    )
    if problem:
        raise SystemExit(problem)
    runtime = open_runtime(settings, pool_size=0)
    try:
        async with open_work(runtime, uuid7(), SYSTEM) as work:
            await add_account(work, name, [(address, owner_name, await hash_password(password), "owner")])
            await work.commit()
            return f"Created account {name} ({work.account_id}). Its owner is {address}."
    except IntegrityError as error:
        raise SystemExit(
            f"{address} already belongs to a user; invite them on the Members screen."
        ) from error
    finally:
        await runtime.close()


async def add_account(work: Work, name: str, members: list[tuple[str, str, str, str]]) -> None:
    """Adds the account of `work` and its members (email, name, password hash, role); the caller commits."""
    work.session.add(Account(id=work.account_id, name=name))
    await work.session.flush()
    for email, member_name, password_hash, role in members:
        user_id = uuid7()
        await insert_user(work.session, user_id, email, member_name, password_hash)
        work.session.add(Membership(account_id=work.account_id, user_id=user_id, role=role))
        work.audit("member.added", "member", user_id, {"role": (None, role)})
    work.audit("account.created", "account", work.account_id, {"name": (None, name)})
