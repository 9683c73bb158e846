"""A handful of the fault matrix; `scripts/faults --matrix` runs all of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import Settings
from tests.faults.injector import POINTS, Kind
from tests.faults.matrix import Case, Children, Matrix, cases, child_processes
from tests.support.world import World

QUICK_CASES = [
    Case("path", "match.after", Kind.KILL),
    Case("path", "advance.before", Kind.KILL),
    Case("path", "effect.started.before", Kind.KILL),
    Case("path", "effect.called", Kind.KILL),
    Case("path", "effect.finished.before", Kind.DROP),
    Case("path", "effect.claimed.after", Kind.STALL),
    Case("path", "mark.set.after", Kind.KILL),
    Case("enrollments left behind", "mark.split.after", Kind.KILL),
    Case("events left behind", "mark.claimed.after", Kind.KILL),
    Case("job", "work.commit.before", Kind.KILL),
    Case("mark in doubt: send again", "work.commit.after", Kind.KILL),
]


def test_the_matrix_covers_every_point() -> None:
    assert {case.point for case in cases()} == set(POINTS)
    assert len(cases()) >= 120


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    with child_processes(tmp_path_factory.mktemp("children")) as children:
        yield children


@pytest.mark.slow
@pytest.mark.parametrize("case", QUICK_CASES, ids=str)
async def test_a_fault_leaves_the_state_before_or_after_the_commit(
    case: Case, children: Children, world: World, settings: Settings, admin_url: str, tmp_path: Path
) -> None:
    matrix = Matrix(settings, admin_url, world, children, tmp_path)
    assert await matrix.problems(case) == []
