"""Changing the settings of an account."""

from app.accounts.domain import settings_errors
from app.accounts.schemas import AccountForm, AccountView
from app.errors import Invalid
from app.work import Work
from db.repositories.clocks import look_again

FIELDS = ("name", "default_region", "time_zone")


async def change_account(work: Work, form: AccountForm, regions: frozenset[str]) -> AccountView:
    """Replaces the settings; what stays the same is not written. Raises `Invalid`."""
    errors = settings_errors(form.name, form.default_region, form.time_zone, regions)
    if errors:
        raise Invalid(errors)
    old = await work.accounts.own()
    new = {"name": form.name.strip(), "default_region": form.default_region, "time_zone": form.time_zone}
    changes = {
        field: (getattr(old, field), new[field]) for field in FIELDS if getattr(old, field) != new[field]
    }
    if changes:
        await work.accounts.change(**new, now=work.now)
        work.audit("account.changed", "account", work.account_id, changes)
    if "time_zone" in changes:
        await look_again(work.session, work.now)
        work.ring()
    view = AccountView(old.id, **new, created_at=old.created_at)
    await work.commit()
    return view
