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


def test_every_commit_goes_through_its_failpoints() -> None:
    bare = [
        f"{where}: {line.strip()}"
        for where, text in TEXT.items()
        if not where.startswith(ELSEWHERE)
        for line in text.splitlines()
        if re.search(r"session\.commit\(\)|connection\.commit\(\)", line)
    ]
    assert bare == []


@pytest.mark.parametrize("member", [*Boundary, *Moment], ids=str)
def test_each_is_placed_exactly_once(member: Boundary | Moment) -> None:
    kind = type(member).__name__
    call = "commit" if isinstance(member, Boundary) else "hit"
    pattern = rf"{call}\([^()]*{kind}\.{member.name}\)"
    places = [where for where, text in TEXT.items() for _ in re.findall(pattern, text)]
    assert len(places) == 1, f"{member}: {places}"


def test_it_goes_off_once_at_the_hit_that_was_asked_for() -> None:
    arm(Armed("match.before", Kind.RAISE, left=2))
    try:
        hit("match.after")
        hit("match.before")
        with pytest.raises(Injected):
            hit("match.before")
        hit("match.before")
    finally:
        arm(None)


def test_what_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for said in ("match.before", "nowhere:kill", "match.before:explode", "match.before:kill:often"):
        monkeypatch.setenv(failpoints.VARIABLE, said)
        with pytest.raises(SystemExit, match="cannot be read"):
            failpoints.from_env("", "")
    monkeypatch.delenv(failpoints.VARIABLE)
    failpoints.from_env("", "")
    assert failpoints._armed is None


def test_names_are_unique() -> None:
    assert len(set(POINTS)) == len(POINTS) >= 24
