"""Options, addresses and the environment of `scripts/dev`."""

from pathlib import Path

import pytest

from scripts._lib.dev import app_commands, dev
from scripts._lib.dev.virtualenv import ROOT


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATA_DIR", raising=False)
    options = dev.parse_options([])
    assert (options.host, options.port, options.data, options.fresh) == (
        "127.0.0.1",
        8000,
        ROOT / ".local",
        False,
    )


@pytest.mark.parametrize("text", ["0", "65536", "http", "-1"])
def test_a_port_that_is_none_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        dev.parse_options([f"--port={text}"])
    assert f"{text} is not a port (1 to 65535)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),  # noqa: S104 -- compared with, not listened on
        ("::1", "http://[::1]:8000"),
        ("box.test", "http://box.test:8000"),
    ],
)
def test_address_for_a_browser(host: str, expected: str) -> None:
    assert app_commands.local_url(host, 8000) == expected


def test_environment_lets_the_person_win_over_defaults_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_URL", "smtp://mine:25")
    monkeypatch.setenv("DATA_DIR", "/elsewhere")
    monkeypatch.setenv("BASE_URL", "")
    env = app_commands.environment(
        {"DATA_DIR": "/data"}, {"SMTP_URL": "smtp://demo:1", "BASE_URL": "http://demo"}
    )
    assert (env["SMTP_URL"], env["DATA_DIR"], env["BASE_URL"]) == ("smtp://mine:25", "/data", "http://demo")


def test_fingerprint_follows_files_passwords_and_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "0001.py"
    file.write_text("one")
    monkeypatch.setattr(app_commands, "migration_files", lambda: [file])
    secrets = {"app_owner": "a", "app_user": "b"}
    first = dev.fingerprint(secrets, demo=True)
    assert dev.fingerprint(secrets, demo=True) == first
    assert dev.fingerprint(secrets, demo=False) != first
    assert dev.fingerprint({**secrets, "app_user": "c"}, demo=True) != first
    file.write_text("two")
    assert dev.fingerprint(secrets, demo=True) != first
