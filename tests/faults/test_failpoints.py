"""The failpoints are all there are: a commit of the engine without one fails here."""

import re

import pytest

from app import failpoints
from app.failpoints import POINTS, Armed, Boundary, Injected, Kind, Moment, arm, hit
from tests.rules.files import name, sources

TEXT = {
    name(path): path.read_text() for path in sources("app", "jobs", "db") if name(path) != "app/failpoints.py"
}
ELSEWHERE = "db/seeds/"  # a program that fills an empty database and can be started again


# What commits one statement by itself, by the file and the function: it is there or it is not, nothing else
# was begun with it, and the reason says who does it again.
ALONE = {
    "app/engine/recovery/restore_guard.py": {
        "_hold": "a person presses again; the guard of every worker looks again within a second",
        "release_engine": "a person presses again",
        "heartbeat": "the next beat of any worker; see tests/faults/test_restore_guard.py",
    },
    "jobs/worker.py": {"_sql": "heartbeats of this worker: the next one, within seconds"},
    "db/auth_lookup.py": {
        "by_secret": "who signs in is seen at the next request",
        "by_access_token": "a token is used at the next request",
        "add_reset": "the answer is an error and the person asks for another link",
        "use_reset": "the link still lives, or the new password holds",
        "accept_invitation": "the invitation still stands, or the person is a member",
    },
    "db/migrations/env.py": {"take_migration_lock": "the lock of migrations: the next try takes it"},
}
COMMITS = re.compile(r"(?<!work)\.commit\(\)|\.begin\(\)")


def commits(text: str) -> list[str]:
    """The function around each commit that does not go through `app.failpoints`."""
    functions, inside = [], ""
    for line in text.splitlines():
        if match := re.match(r"\s*(?:async )?def (\w+)", line):
            inside = match[1]
        if COMMITS.search(line):
            functions.append(inside)
    return functions


def test_every_commit_goes_through_its_failpoints() -> None:
    bare = {
        where: bare_commits
        for where, text in TEXT.items()
        if not where.startswith(ELSEWHERE) and (bare_commits := commits(text))
    }
    assert bare == {where: list(names) for where, names in ALONE.items()}


def test_a_bare_commit_is_detected() -> None:
    lines = "async def one():\n    async with engine.begin() as connection:\n        pass\n"
    assert commits(lines + "def two():\n    await session.commit()\n    await work.commit()\n") == [
        "one",
        "two",
    ]


@pytest.mark.parametrize("member", [*Boundary, *Moment], ids=str)
def test_each_failpoint_stands_in_exactly_one_place(member: Boundary | Moment) -> None:
    kind = type(member).__name__
    call = "commit" if isinstance(member, Boundary) else "hit"
    pattern = rf"{call}\([^()]*{kind}\.{member.name}\)"
    places = [where for where, text in TEXT.items() for _ in re.findall(pattern, text)]
    assert len(places) == 1, f"{member}: {places}"


def test_a_failpoint_fires_once_at_the_requested_hit() -> None:
    arm(Armed("match.before", Kind.RAISE, left=2))
    try:
        hit("match.after")
        hit("match.before")
        with pytest.raises(Injected):
            hit("match.before")
        hit("match.before")
    finally:
        arm(None)


def test_invalid_failpoint_settings_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("match.before", "nowhere:kill", "match.before:explode", "match.before:kill:often"):
        monkeypatch.setenv(failpoints.VARIABLE, text)
        with pytest.raises(SystemExit, match="cannot be read"):
            failpoints.from_env("", "")
    monkeypatch.delenv(failpoints.VARIABLE)
    failpoints.from_env("", "")
    assert failpoints._armed is None


def test_names_are_unique() -> None:
    assert len(set(POINTS)) == len(POINTS) >= 24
