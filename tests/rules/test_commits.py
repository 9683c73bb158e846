"""Every commit of the engine goes through `app/fault_hook.py`, so that fault tests can break it there."""

import re

import pytest

from app.fault_hook import Boundary, Moment
from tests.rules.files import name, sources

HOOK = "app/fault_hook.py"
SOURCES = {name(path): path.read_text() for path in sources("app", "jobs", "db") if name(path) != HOOK}
SEEDS = "db/seeds/"  # a program that fills an empty database and can be started again
# Functions that commit a single statement by themselves, by file, with what repeats the statement.
SINGLE_STATEMENTS = {
    "app/engine/recovery/restore_guard.py": {
        "_hold": "the member presses again; the guard of every worker checks again within a second",
        "release_engine": "the member presses again",
        "heartbeat": "the next heartbeat of any worker; see tests/faults/test_restore_guard.py",
    },
    "jobs/worker.py": {
        "_write": "the next heartbeat of this worker, within seconds",
    },
    "jobs/counter_upkeep.py": {
        "count_in_account": "the next round of any worker; see tests/integration/db/test_counters.py",
    },
    "db/auth_lookup.py": {
        "by_secret": "the next request writes when the session was last used",
        "by_access_token": "the next request writes when the token was last used",
        "add_reset": "the answer is an error, and the user asks for another link",
        "use_reset": "either the link still works or the new password does",
        "accept_invitation": "either the invitation is still open or the user is a member",
    },
    "db/migrations/env.py": {"take_migration_lock": "the next try takes the lock of migrations"},
}
COMMITS = re.compile(r"(?<!work)\.commit\(\)|\.begin\(\)")


def bare_commits(source: str) -> list[str]:
    """The function around each commit that does not go through `app.fault_hook`."""
    functions, current = [], ""
    for line in source.splitlines():
        if match := re.match(r"\s*(?:async )?def (\w+)", line):
            current = match[1]
        if COMMITS.search(line):
            functions.append(current)
    return functions


def test_every_commit_goes_through_the_fault_hook() -> None:
    bare = {
        file: functions
        for file, source in SOURCES.items()
        if not file.startswith(SEEDS) and (functions := bare_commits(source))
    }
    assert bare == {file: list(reasons) for file, reasons in SINGLE_STATEMENTS.items()}


def test_a_bare_commit_is_detected() -> None:
    lines = "async def first():\n    async with engine.begin() as connection:\n        pass\n"
    assert bare_commits(lines + "def second():\n    await session.commit()\n    await work.commit()\n") == [
        "first",
        "second",
    ]


@pytest.mark.parametrize("member", [*Boundary, *Moment], ids=str)
def test_each_point_is_passed_in_exactly_one_place(member: Boundary | Moment) -> None:
    kind = type(member).__name__
    call = "commit" if isinstance(member, Boundary) else "hit"
    pattern = rf"\b{call}\([^()]*{kind}\.{member.name}\b"
    places = [file for file, source in SOURCES.items() for _ in re.findall(pattern, source)]
    assert len(places) == 1, f"{member}: {places}"


def test_only_fault_tests_set_the_hook() -> None:
    assert [file for file, source in SOURCES.items() if "on_point" in source] == []
