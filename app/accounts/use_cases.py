"""Changes the settings of an account."""

from app.accounts.domain import settings_errors
from app.accounts.schemas import AccountForm, AccountView
from app.errors import Invalid
from app.patch import resolve
from app.work import Work
from db.models import Account
from db.queries.programs import AccountSettings
from db.queries.trigger_schedules import recompute_schedules

FIELDS = ("name", "default_region", "time_zone")


async def change_account(work: Work, form: AccountForm, regions: frozenset[str]) -> AccountView:
    """Changes the settings that were sent. A new time zone also recomputes the schedules of workflows. Raises
    `Invalid`."""
    account = await work.accounts.get_one(with_for_update={"key_share": True})
    new = {field: resolve(getattr(form, field), getattr(account, field)) for field in FIELDS}
    errors = settings_errors(new["name"], new["default_region"], new["time_zone"], regions)
    if errors:
        raise Invalid(errors)
    new["name"] = new["name"].strip()
    old = {field: getattr(account, field) for field in FIELDS}
    changes = {field: (old[field], new[field]) for field in FIELDS if old[field] != new[field]}
    if changes:
        account.name, account.default_region = new["name"], new["default_region"]
        account.time_zone, account.updated_at = new["time_zone"], work.now
        work.audit("account.updated", "account", work.account_id, changes)
    if "time_zone" in changes:
        await recompute_schedules(work.session, work.now)
        work.notify_worker("schedules")
    await work.commit()
    return view_of(account)


def view_of(account: Account | AccountSettings) -> AccountView:
    return AccountView(
        account.id, account.name, account.default_region, account.time_zone, account.created_at
    )
