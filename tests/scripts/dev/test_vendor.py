"""A file whose hash is wrong is never written."""

import json
from pathlib import Path

import pytest

from scripts._lib.dev.terminal import ScriptError
from scripts._lib.dev.vendor import VendorFile, has_right_hash, npm_error, sha384, vendor_files, write_files
from scripts._lib.dev.virtualenv import ROOT

GOOD = VendorFile("good.js", "x/good.js", sha384(b"good"))
BAD = VendorFile("bad.js", "x/bad.js", sha384(b"expected"))


def test_right_files_are_placed(tmp_path: Path) -> None:
    folder = tmp_path / "vendor"
    assert not has_right_hash(GOOD, folder)
    write_files([(GOOD, b"good")], folder)
    assert has_right_hash(GOOD, folder)


def test_one_wrong_hash_writes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "vendor"
    with pytest.raises(ScriptError, match=r"bad\.js was downloaded with the hash .* Nothing was written"):
        write_files([(GOOD, b"good"), (BAD, b"something else")], folder)
    assert not folder.exists()


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    write_files([(GOOD, b"good")], tmp_path)
    (tmp_path / GOOD.name).write_bytes(b"tampered")
    assert not has_right_hash(GOOD, tmp_path)


def test_package_names_each_file_with_its_hash_and_the_lock_no_address() -> None:
    assert [file.name for file in vendor_files()] == ["htmx.min.js"]
    assert all(file.sha384.startswith("sha384-") for file in vendor_files())
    lock = json.loads((ROOT / "package-lock.json").read_text())
    assert lock["packages"]["node_modules/htmx.org"]["version"] == "4.0.1"
    assert not any("resolved" in row for row in lock["packages"].values())


def test_reason_is_the_first_line_of_npm() -> None:
    assert npm_error("npm error code ENOTFOUND\nnpm error syscall x\n") == "npm: code ENOTFOUND"
