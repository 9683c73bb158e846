"""What the sidebar and the settings menu show to a member."""

from app.permissions import Permission, Role, allowed
from app.web.navigation import settings_menu, sidebar


def test_entries_need_their_permission() -> None:
    def keys(permissions: frozenset[Permission]) -> set[str]:
        return {entry.screen.key for _, entries in sidebar(permissions, "/", {}) for entry in entries}

    everything, viewers = keys(allowed(Role.OWNER)), keys(allowed(Role.VIEWER))
    assert everything - viewers == {"audit"}
    assert keys(frozenset()) == set()


def test_no_section_is_empty() -> None:
    assert [name for name, _ in sidebar({Permission.VIEW_AUDIT}, "/", {})] == ["Account"]


def test_the_entry_of_the_page_is_marked() -> None:
    def marked(path: str) -> list[str]:
        sections = sidebar({Permission.VIEW}, path, {})
        return [entry.screen.key for _, entries in sections for entry in entries if entry.current]

    assert marked("/") == ["home"]
    assert marked("/contacts/1/edit") == ["contacts"]
    assert marked("/contacts-of-another-kind") == []
    assert marked("/tokens") == marked("/roles") == ["settings"]
    menu = settings_menu({Permission.VIEW}, "/tokens")
    assert [entry.screen.key for entry in menu if entry.current] == ["tokens"]


def test_an_entry_counts_what_waits() -> None:
    sections = sidebar({Permission.VIEW}, "/", {"approvals": 3, "notifications": 0})
    counts = {entry.screen.key: entry.count for _, entries in sections for entry in entries}
    assert (counts["approvals"], counts["notifications"], counts["tags"]) == (3, None, None)
