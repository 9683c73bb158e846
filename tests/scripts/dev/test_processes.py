"""Ports, records of pids, and programs that are kept running."""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from scripts._lib.dev.processes import (
    ChildProgram,
    find_orphan,
    free_port,
    is_port_free,
    record_pid,
    remove_record,
    require_free_port,
)
from scripts._lib.dev.supervisor import StopRequested, Supervisor
from scripts._lib.dev.terminal import ScriptError

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"]


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    supervisor = Supervisor()
    with supervisor.signals():
        yield supervisor
        supervisor.stop()


def program(folder: Path, command: list[str], name: str = "sleeper", patience: float = 5.0) -> ChildProgram:
    return ChildProgram(name, command, log=folder / f"{name}.log", cwd=folder, patience=patience, stage=1)


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def test_a_taken_port_is_named_with_its_holder_and_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_port_free(port)
        with pytest.raises(
            ScriptError, match=rf"Port {port} on 127\.0\.0\.1 is in use.*--port {port + 1}"
        ) as problem:
            require_free_port(port, "127.0.0.1")
        assert "\n" not in str(problem.value)
        assert free_port(port) != port
    assert free_port(port) == port


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ScriptError, match=r"192\.0\.2\.1 is not an address of this machine"):
        require_free_port(8000, "192.0.2.1")


def test_a_record_finds_the_process_and_not_another_with_its_pid(tmp_path: Path) -> None:
    record_pid(tmp_path, "me", os.getpid())
    orphaned = find_orphan(tmp_path, "me")
    assert orphaned is not None
    assert orphaned.pid == os.getpid()
    mark = json.loads((tmp_path / "me.json").read_text())
    (tmp_path / "me.json").write_text(json.dumps({**mark, "created": mark["created"] - 60}))
    assert find_orphan(tmp_path, "me") is None
    remove_record(tmp_path, "me")
    assert find_orphan(tmp_path, "me") is None


def test_a_killed_program_is_started_again(
    supervisor: Supervisor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    child = supervisor.start(program(tmp_path, SLEEP))
    first = child.process.pid
    child.process.kill()
    until(lambda: child.process.poll() is not None)
    supervisor.restart_if_ended(child, time.monotonic())
    assert child.due is not None
    supervisor.restart_if_ended(child, child.due)
    again = supervisor.children["sleeper"]
    assert again.runs
    assert again.process.pid != first
    supervisor.stop()
    output = capsys.readouterr().err
    assert "sleeper was ended by SIGKILL; restarting it in 0.5 s" in output
    assert f"sleeper is running again (process {again.process.pid})" in output


def test_pauses_grow_while_it_keeps_failing(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(program(tmp_path, [sys.executable, "-c", "raise SystemExit(3)"]))
    pauses = []
    for _ in range(3):
        child = supervisor.children["sleeper"]
        child.process.wait(10)
        now = time.monotonic()
        supervisor.restart_if_ended(child, now)
        assert child.due is not None
        pauses.append(round(child.due - now, 3))
        supervisor.restart_if_ended(child, child.due)
    supervisor.stop()
    assert pauses == [0.5, 1.0, 2.0]


def test_stop_ends_all_and_kills_what_does_not_listen(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.records = tmp_path
    children = [
        supervisor.start(program(tmp_path, SLEEP, "gentle")),
        supervisor.start(program(tmp_path, STUBBORN, "stubborn", patience=0.3)),
    ]
    time.sleep(0.3)
    assert (tmp_path / "gentle.json").exists()
    supervisor.stop()
    assert not any(psutil.pid_exists(child.process.pid) for child in children)
    assert not list(tmp_path.glob("*.json"))


def test_a_request_to_end_interrupts_the_wait(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(program(tmp_path, SLEEP))
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(StopRequested):
        supervisor.watch()
    supervisor.stop()
    assert not supervisor.children


def test_a_program_that_fails_before_it_is_ready_shows_the_end_of_its_log(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.start(program(tmp_path, [sys.executable, "-c", "raise SystemExit('no such table')"], "web"))
    with pytest.raises(ScriptError, match=r"web ended with code 1 before it was ready; [\s\S]*no such table"):
        supervisor.wait_until(lambda: False, "web", 20)


def test_a_command_that_fails_is_a_problem_with_its_log(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.run(program(tmp_path, [sys.executable, "-c", "print('fine')"], "migrate"))
    with pytest.raises(ScriptError, match=r"migrate ended with code 1; [\s\S]*broken"):
        supervisor.run(program(tmp_path, [sys.executable, "-c", "raise SystemExit('broken')"], "migrate"))
    assert not supervisor.children


def test_orphans_of_a_killed_start_are_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    killed = Supervisor()
    killed.records = tmp_path
    child = killed.start(program(tmp_path, SLEEP, "worker"))
    Supervisor().end_orphans(tmp_path, {"worker": (signal.SIGTERM, 5.0), "web": (signal.SIGTERM, 5.0)})
    assert child.process.wait(5) == -signal.SIGTERM
    assert "stopping worker, left by a start that was killed" in capsys.readouterr().err
