"""The navigation: one line for each screen in `SIDEBAR` or `SETTINGS`.

`sidebar` and `settings_menu` return the screens that a member may open. `templates/shared/_sidebar.html`, the
bottom bar of `templates/layouts/base.html` and `templates/layouts/settings.html` render them."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import msgspec

from app.permissions import Permission


class Screen(NamedTuple):
    """A screen: its path, the permission that it requires, and its icon in static/icons.svg.

    `shortcut` is the key after g; `bottom_bar` puts it into the bottom bar on phones; it is also marked as
    current on `pages`."""

    key: str
    label: str
    href: str
    permission: Permission
    icon: str
    shortcut: str = ""
    bottom_bar: bool = False
    pages: tuple[str, ...] = ()

    def holds(self, path: str) -> bool:
        """Whether the path is a page of this screen or below one."""
        return any(
            path == page or (page != "/" and path.startswith(f"{page}/")) for page in (self.href, *self.pages)
        )


VIEW, VIEW_AUDIT = Permission.VIEW, Permission.VIEW_AUDIT

SETTINGS: tuple[Screen, ...] = (
    Screen("members", "Members", "/members", VIEW, "users"),
    Screen("account", "Account", "/account", VIEW, "gear"),
    Screen("tokens", "Access tokens", "/tokens", VIEW, "key"),
    Screen("sessions", "Sessions", "/sessions", VIEW, "screen"),
    Screen("password", "Password", "/password", VIEW, "lock"),
)
SETTINGS_PAGES = (*(screen.href for screen in SETTINGS), "/roles")

SIDEBAR: dict[str, tuple[Screen, ...]] = {
    "Work": (
        Screen("home", "Overview", "/", VIEW, "home", "h", bottom_bar=True),
        Screen("contacts", "Contacts", "/contacts", VIEW, "users", "c", bottom_bar=True),
        Screen("imports", "Imports", "/imports", VIEW, "upload", "i"),
        Screen("tasks", "Tasks", "/tasks", VIEW, "check", "d"),
        Screen("segments", "Segments", "/segments", VIEW, "filter", "r"),
        Screen("tags", "Tags", "/tags", VIEW, "tag", "t"),
        Screen("fields", "Fields", "/fields", VIEW, "field", "f"),
        Screen("approvals", "Approvals", "/approvals", VIEW, "help", "v"),
        Screen("notifications", "Notifications", "/notifications", VIEW, "msg", "n"),
    ),
    "Automate": (
        Screen("workflows", "Workflows", "/workflows", VIEW, "flow", "w", bottom_bar=True),
        Screen("enrollments", "Enrollments", "/enrollments", VIEW, "path", "e"),
        Screen("jobs", "Jobs", "/jobs", VIEW, "stack", "j", bottom_bar=True),
        Screen("mailbox", "Mailbox", "/mailbox", VIEW, "mail", "m"),
    ),
    "Account": (
        Screen("audit", "Audit", "/audit", VIEW_AUDIT, "log", "a"),
        Screen("settings", "Settings", "/members", VIEW, "gear", "s", pages=SETTINGS_PAGES),
    ),
}


class NavigationEntry(msgspec.Struct):
    """An entry of the navigation: `current` on the screen's own pages, `count` is the number of items that
    wait there for the member."""

    screen: Screen
    current: bool
    count: int | None = None


def sidebar(
    permissions: Collection[Permission], path: str, counts: Mapping[str, int]
) -> list[tuple[str, list[NavigationEntry]]]:
    """The sections of the sidebar that have an entry for these permissions; the entry of `path` is marked.
    `counts` are by screen key."""
    sections = ((name, entries(screens, permissions, path, counts)) for name, screens in SIDEBAR.items())
    return [section for section in sections if section[1]]


def settings_menu(permissions: Collection[Permission], path: str) -> list[NavigationEntry]:
    """The screens in the menu of the settings layout."""
    return entries(SETTINGS, permissions, path, {})


def entries(
    screens: Iterable[Screen], permissions: Collection[Permission], path: str, counts: Mapping[str, int]
) -> list[NavigationEntry]:
    """The entries of the screens that these permissions open."""
    return [
        NavigationEntry(screen, screen.holds(path), counts.get(screen.key) or None)
        for screen in screens
        if screen.permission in permissions
    ]
