"""Small promises of every source file."""

import re

import pytest

from jobs.settings import CRON_TASKS, TURN_TASKS, TURN_TTL
from tests.rules.files import CODE, ROOT, name, sources

FILES = [path for path in sources(*CODE) if path.name != "test_sources.py"]
LINES = [
    (f"{name(path)}:{i}", line) for path in FILES for i, line in enumerate(path.read_text().splitlines(), 1)
]


def test_every_noqa_and_type_ignore_has_a_reason() -> None:
    """`# noqa: X -- reason`, `# type: ignore[x]  # reason`."""
    bad = []
    for place, line in LINES:
        noqa = re.search(r"#\s*noqa(.*)", line)
        if noqa and not re.match(r": [A-Z0-9, ]+ -- \S.{5,}", noqa[1]):
            bad.append(place)
        ignore = re.search(r"#\s*type: ignore(.*)", line)
        if ignore and not re.match(r"\[[a-z-, ]+\]\s+(# (-- )?|-- )\S.{5,}", ignore[1]):
            bad.append(place)
    assert bad == []


@pytest.mark.parametrize(
    "pattern",
    [r"\bMock\(", r"\bMagicMock\b", r"\bTO[D]O\b", r"\bFIX[M]E\b", r"\bdatetime\.utcnow\b", r"\btype \w+ = "],
)
def test_sources_contain_no(pattern: str) -> None:
    assert [place for place, line in LINES if re.search(pattern, line)] == []


def test_files_stay_small() -> None:
    """Around 300 lines; a file that needs more becomes a package. Generated migrations may be long."""
    long = [
        name(path)
        for path in FILES
        if len(path.read_text().splitlines()) > 400 and "migrations/versions" not in name(path)
    ]
    assert long == []


def test_every_task_declares_its_limits() -> None:
    bad = [task.name for task in CRON_TASKS if task.timeout <= 0 or task.retries < 1 or task.ttl <= 0]
    assert bad == []
    assert TURN_TTL != 0, "0 keeps the jobs in Redis for ever"
    names = [task.name for task in (*CRON_TASKS, *TURN_TASKS)]
    assert len(set(names)) == len(names)


def test_the_map_in_the_readme_is_true() -> None:
    """Every name in the tree of the README exists, and every folder of the top level is in it."""
    block = re.search(r"```text\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block, "the README has a tree"
    shown = set()
    missing = []
    for line in block[1].splitlines():
        names, _, _meaning = line.partition("  ")
        for place in names.split():
            shown.add(place.split("/")[0])
            if not (ROOT / place).exists():
                missing.append(place)
    assert missing == []
    folders = {
        p.name for p in ROOT.iterdir() if p.is_dir() and (p / ".").exists() and not p.name.startswith(".")
    }
    assert folders - {"node_modules", "requirements", "docs"} - shown == set()
