"""A file whose hash is wrong is never written."""

import json
from pathlib import Path

import pytest

from scripts._lib.dev.terminal import Problem
from scripts._lib.dev.vendor import Wanted, is_right, npm_reason, place, sha384, wanted
from scripts._lib.dev.virtualenv import ROOT

GOOD = Wanted("good.js", "x/good.js", sha384(b"good"))
BAD = Wanted("bad.js", "x/bad.js", sha384(b"expected"))


def test_right_files_are_placed(tmp_path: Path) -> None:
    folder = tmp_path / "vendor"
    assert not is_right(GOOD, folder)
    place([(GOOD, b"good")], folder)
    assert is_right(GOOD, folder)


def test_one_wrong_hash_writes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "vendor"
    with pytest.raises(Problem, match=r"bad\.js was fetched with the hash .* nothing was written"):
        place([(GOOD, b"good"), (BAD, b"something else")], folder)
    assert not folder.exists()


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    place([(GOOD, b"good")], tmp_path)
    (tmp_path / GOOD.name).write_bytes(b"tampered")
    assert not is_right(GOOD, tmp_path)


def test_package_names_each_file_with_its_hash_and_the_lock_no_address() -> None:
    assert [file.name for file in wanted()] == ["htmx.min.js"]
    assert all(file.sha384.startswith("sha384-") for file in wanted())
    lock = json.loads((ROOT / "package-lock.json").read_text())
    assert lock["packages"]["node_modules/htmx.org"]["version"] == "4.0.1"
    assert not any("resolved" in row for row in lock["packages"].values())


def test_reason_is_the_first_line_of_npm() -> None:
    assert npm_reason("npm error code ENOTFOUND\nnpm error syscall x\n") == "npm: code ENOTFOUND"
