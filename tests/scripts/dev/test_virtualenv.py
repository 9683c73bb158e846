"""When `.venv` is right, when it is not, and what is said when it cannot be made."""

import importlib.util
from pathlib import Path

import pytest

from scripts._lib.dev import virtualenv
from scripts._lib.dev.terminal import ScriptError


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / ".venv"
    (folder / "bin").mkdir(parents=True)
    monkeypatch.setattr(virtualenv, "VENV", folder)
    monkeypatch.setattr(virtualenv, "PYTHON", folder / "bin" / "python")
    monkeypatch.setattr(virtualenv, "STAMP", folder / "switchyard-stamp")
    return folder


def test_stamp_follows_lock_and_version() -> None:
    first = virtualenv.stamp(b"lock", (3, 11))
    assert first.endswith(" 3.11")
    assert first != virtualenv.stamp(b"lock", (3, 13))
    assert first != virtualenv.stamp(b"other", (3, 11))


def test_a_stamp_counts_only_with_a_python(venv: Path) -> None:
    want = virtualenv.stamp(b"lock", (3, 11))
    assert not virtualenv.is_up_to_date(want)
    virtualenv.STAMP.write_text(want)
    assert not virtualenv.is_up_to_date(want)
    virtualenv.PYTHON.touch()
    assert virtualenv.is_up_to_date(want)
    assert not virtualenv.is_up_to_date(virtualenv.stamp(b"newer", (3, 11)))


def test_version_is_the_one_that_made_it(venv: Path) -> None:
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.12.4\n")
    virtualenv.PYTHON.touch()
    assert virtualenv.venv_version() == (3, 12)


def test_python_without_ensurepip_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> object | None:
        return None if name == "ensurepip" else object()

    monkeypatch.setattr(importlib.util, "find_spec", find)
    with pytest.raises(ScriptError, match=r"has no ensurepip, .*apt install python3-venv") as problem:
        virtualenv.require_venv_module()
    assert "\n" not in str(problem.value)


def test_no_network_is_told_apart(tmp_path: Path) -> None:
    log = tmp_path / "setup.log"
    log.write_text("WARNING: NewConnectionError: Temporary failure in name resolution\n")
    assert virtualenv.install_error(log).startswith("The first start needs the network")
    log.write_text("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES\n")
    assert "DO NOT MATCH" in virtualenv.install_error(log)
    assert "needs the network" not in virtualenv.install_error(log)


def test_locks_name_no_address_and_every_pin_has_a_hash() -> None:
    for name in ("run", "dev", "node"):
        text = (virtualenv.ROOT / "requirements" / f"{name}.lock").read_text()
        assert "://" not in text
        entries = text.replace("\\\n", "").splitlines()
        pins = [line for line in entries if "==" in line]
        assert pins
        assert all("--hash=sha256:" in line for line in pins)
