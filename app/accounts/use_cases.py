"""Changes the settings of an account."""

from app.accounts.domain import settings_errors
from app.accounts.schemas import AccountForm, AccountView
from app.errors import Invalid
from app.patch import resolve
from app.work import Work
from db.queries.trigger_schedules import recompute_schedules

FIELDS = ("name", "default_region", "time_zone")


async def change_account(work: Work, form: AccountForm, regions: frozenset[str]) -> AccountView:
    """Changes the settings that were sent. A new time zone also recomputes the schedules of workflows. Raises
    `Invalid`."""
    old = await work.accounts.own(lock=True)
    new = {field: resolve(getattr(form, field), getattr(old, field)) for field in FIELDS}
    errors = settings_errors(new["name"], new["default_region"], new["time_zone"], regions)
    if errors:
        raise Invalid(errors)
    new["name"] = new["name"].strip()
    changes = {
        field: (getattr(old, field), new[field]) for field in FIELDS if getattr(old, field) != new[field]
    }
    if changes:
        await work.accounts.change({field: new[field] for field in changes}, work.now)
        work.audit("account.updated", "account", work.account_id, changes)
    if "time_zone" in changes:
        await recompute_schedules(work.session, work.now)
        work.notify_worker("schedules")
    view = AccountView(old.id, **new, created_at=old.created_at)
    await work.commit()
    return view
