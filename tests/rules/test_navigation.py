"""The navigation is one table in `app/web/navigation.py`; the templates only draw it."""

from app.web.navigation import SETTINGS, SIDEBAR
from tests.rules.files import ROOT
from tests.rules.templates import pages

SCREENS = [*(screen for screens in SIDEBAR.values() for screen in screens), *SETTINGS]
DRAWN_BY = ("layouts/base.html", "layouts/settings.html", "shared/_sidebar.html")


def test_every_entry_leads_to_a_page() -> None:
    urls = {url.rstrip("/") for url, _ in pages()}
    addresses = [page for screen in SCREENS for page in (screen.href, *screen.pages)]
    assert [page for page in addresses if page.rstrip("/") not in urls] == []


def test_every_shortcut_opens_one_screen() -> None:
    shortcuts = [screen.shortcut for screen in SCREENS if screen.shortcut]
    assert sorted(shortcuts) == sorted(set(shortcuts))


def test_the_bar_of_a_phone_has_room_for_what_is_in_it() -> None:
    assert sum(screen.bottom_bar for screen in SCREENS) <= 4, "the fifth is the menu"


def test_the_layouts_name_no_screen() -> None:
    drawn = {name: (ROOT / "templates" / name).read_text() for name in DRAWN_BY}
    bad = [
        f"{name}: {screen.key}"
        for name, text in drawn.items()
        for screen in SCREENS
        if f'"{screen.href}"' in text or f">{screen.label}<" in text
    ]
    assert bad == []


def test_the_checklist_sends_to_this_table_only() -> None:
    text = (ROOT / "docs" / "adding-a-screen.md").read_text()
    line = next(part for part in text.split("\n\n") if part.startswith("If it is in the navigation"))
    assert [word for word in line.split("`") if "/" in word] == ["app/web/navigation.py"]
