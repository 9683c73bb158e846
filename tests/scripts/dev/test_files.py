"""Secrets and state are written whole, and for nobody else."""

import json
from pathlib import Path

import pytest

from scripts._lib.dev.files import SECRETS, load_secrets, read_json, write_atomically
from scripts._lib.dev.terminal import ScriptError


def test_secrets_are_made_once_and_for_us_alone(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    first = load_secrets(path)
    assert set(first) == set(SECRETS)
    assert all(len(value) == 48 for value in first.values())
    assert len(set(first.values())) == len(SECRETS)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_secrets(path) == first


def test_a_missing_secret_is_added_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    path.write_text(json.dumps({"postgres": "kept"}))
    assert load_secrets(path)["postgres"] == "kept"
    assert path.stat().st_mode & 0o777 == 0o600


def test_secrets_that_others_could_read_are_closed(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    load_secrets(path)
    path.chmod(0o644)
    load_secrets(path)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secrets.json"
    path.write_text(text)
    with pytest.raises(ScriptError, match=r"secrets\.json"):
        read_json(path)


def test_a_left_part_of_an_interrupted_write_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / ".state.json.part").write_text("half")
    write_atomically(tmp_path / "state.json", "whole")
    assert (tmp_path / "state.json").read_text() == "whole"
    assert list(tmp_path.iterdir()) == [tmp_path / "state.json"]
