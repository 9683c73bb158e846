"""The settings screen of an account."""

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import JSONBody
from phonenumbers import SUPPORTED_REGIONS

from app.accounts.domain import time_zones
from app.accounts.schemas import AccountForm, AccountPage, AccountView
from app.accounts.use_cases import change_account, view_of
from app.permissions import Permission
from app.web.actions import action, actions
from app.web.guards import may
from app.web.methods import partial_update
from app.web.responses import Saved
from app.work import Work

REGIONS = frozenset(SUPPORTED_REGIONS)


class AccountController(Controller):
    path = "/account"
    tags = ("account",)

    @get(page="account/show.html", guards=[may(Permission.VIEW)])
    async def show(self, work: NamedDependency[Work]) -> AccountPage:
        """Name, default phone region and time zone."""
        return page_of(work, view_of(await work.accounts.own()))

    @partial_update(form="/account", guards=[may(Permission.MANAGE_ACCOUNT)])
    async def change(self, data: JSONBody[AccountForm], work: NamedDependency[Work]) -> Saved[AccountPage]:
        """Changes the settings."""
        view = await change_account(work, data, REGIONS)
        return Saved(page_of(work, view), see="/account", note="Saved.")


def page_of(work: Work, view: AccountView) -> AccountPage:
    """The settings page with its choices and actions."""
    options = {"default_region": sorted(REGIONS), "time_zone": time_zones()}
    change = action(
        work,
        "change",
        "Save",
        "/account",
        method="PATCH",
        permission=Permission.MANAGE_ACCOUNT,
        form=AccountForm,
        options=options,
    )
    return AccountPage(view, sorted(REGIONS), list(time_zones()), actions(change))
