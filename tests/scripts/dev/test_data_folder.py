"""The data folder: one start at a time, nobody else's files, an interrupted first start."""

import os
from pathlib import Path

import pytest

from scripts._lib.dev.data_folder import LOCK, MARKER, DataFolder
from scripts._lib.dev.postgres import Postgres
from scripts._lib.dev.terminal import ScriptError


def opened(path: Path) -> DataFolder:
    data = DataFolder.open(path, None)
    data.prepare()
    return data


def test_a_new_folder_is_made_marked_and_closed_to_others(tmp_path: Path) -> None:
    data = opened(tmp_path / "a" / "b")
    assert (data.path / MARKER).exists()
    assert data.path.stat().st_mode & 0o777 == 0o700
    assert data.servers == data.path
    data.close()


def test_state_and_secrets_are_found_again(tmp_path: Path) -> None:
    first = opened(tmp_path / "data")
    first.update_state(ports={"postgres": 5})
    first.close()
    second = opened(tmp_path / "data")
    assert second.state["ports"] == {"postgres": 5}
    assert second.secrets == first.secrets
    second.close()


def test_two_starts_on_one_folder_are_one_too_many(tmp_path: Path) -> None:
    data = opened(tmp_path)
    with pytest.raises(ScriptError, match=rf"already running on .* \(process {os.getpid()}\)"):
        DataFolder.open(tmp_path, None)
    data.close()
    DataFolder.open(tmp_path, None).close()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ScriptError, match=r"not Switchyard's \(thesis\.txt\)"):
        DataFolder.open(tmp_path, None)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_in_which_other_scripts_ran_is_used_and_keeps_their_files(tmp_path: Path) -> None:
    (tmp_path / "nginx").mkdir()
    data = opened(tmp_path)
    data.wipe()
    assert {entry.name for entry in tmp_path.iterdir()} == {LOCK, "nginx"}
    data.close()


def test_wiping_keeps_only_the_lock(tmp_path: Path) -> None:
    data = opened(tmp_path)
    (tmp_path / "postgres").mkdir()
    (tmp_path / "link").symlink_to("/")
    data.wipe()
    assert [entry.name for entry in tmp_path.iterdir()] == [LOCK]
    data.close()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ScriptError, match=r"cannot be written .*--data") as problem:
        DataFolder.open(tmp_path / "file" / "data", None)
    assert "\n" not in str(problem.value)


def test_data_without_its_secrets_is_not_started(tmp_path: Path) -> None:
    opened(tmp_path).close()
    cluster = tmp_path / "postgres" / "data"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("18\n")
    (tmp_path / "secrets.json").unlink()
    with pytest.raises(ScriptError, match=r"secrets\.json is gone"):
        opened(tmp_path)


def cluster_of(tmp_path: Path, version: str | None, *, complete: bool = True) -> Postgres:
    server = Postgres(tmp_path, password="p", port=1)
    (server.data / "global").mkdir(parents=True)
    if complete:
        (server.data / "global" / "pg_control").touch()
    if version:
        (server.data / "PG_VERSION").write_text(version + "\n")
    return server


def test_what_an_interrupted_initdb_left_is_cleared_away(tmp_path: Path) -> None:
    server = Postgres(tmp_path, password="p")
    (tmp_path / "data.new" / "base").mkdir(parents=True)
    server.data.mkdir()
    server.check_cluster()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_cluster_is_left_alone(tmp_path: Path) -> None:
    server = cluster_of(tmp_path, "18", complete=False)
    with pytest.raises(ScriptError, match="not a complete PostgreSQL cluster"):
        server.check_cluster()
    assert server.data.exists()


def test_another_major_version_says_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match=r"created by PostgreSQL 17 .* brings 18\. .*Dump it"):
        cluster_of(tmp_path, "17").check_cluster()


def test_the_right_version_passes(tmp_path: Path) -> None:
    server = cluster_of(tmp_path, "18")
    server.check_cluster()
    assert server.data.exists()
