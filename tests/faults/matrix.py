"""F02: every point of `app/fault_hook.py` × every kind of fault, with real processes on a real PostgreSQL.

`run` is the entry point. Each case:

1. A scene of `scenes.py` sets up an account.
2. A child process (`child_process.py`) works on it and breaks at one point.
3. The committed state must be that of an undisturbed run right before or right after the point.
4. Another child finishes the work: the end must be that of the undisturbed run, except for contacts whose
   email is in doubt, who must be held. No email goes out twice.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import msgspec

from app.fault_hook import Moment
from app.runtime import open_runtime
from app.settings import Settings
from scripts._lib.dev.virtualenv import ROOT
from tests.faults.account_state import state_of
from tests.faults.injector import LOG_EVENT, Kind
from tests.faults.scenes import SCENES, Prepared
from tests.support.fakes import Outside, TestClock
from tests.support.scenario import Stage
from tests.support.world import World

KINDS = (Kind.KILL, Kind.RAISE, Kind.DROP, Kind.STALL, Kind.FLUSH)
TIMEOUT_SECONDS = 15.0
# A process that dies between the call and the write of its outcome leaves the effect in doubt.
POINTS_OF_DOUBT = ("effect.started.after", Moment.EFFECT_CALLED, "effect.finished.before")
KINDS_OF_DOUBT = (Kind.KILL, Kind.RAISE, Kind.STALL)
Report = Callable[[str], None]


class Case(msgspec.Struct, frozen=True):
    """One cell of the matrix."""

    scene: str
    point: str
    kind: Kind

    def __str__(self) -> str:
        return f"{self.scene}: {self.point}:{self.kind}"

    @property
    def may_leave_doubt(self) -> bool:
        return self.point in POINTS_OF_DOUBT and self.kind in KINDS_OF_DOUBT


class UndisturbedRun(msgspec.Struct):
    """A run without a fault: the committed state before it, at the first pass of each point, and after it."""

    before: str
    at: dict[str, str]
    end: str

    def around(self, point: str) -> list[str]:
        """The states right before and right after the commit of a point."""
        commit = point.rpartition(".")[0]
        return [self.at[name] for name in (point, f"{commit}.before", f"{commit}.after") if name in self.at]


def cases() -> list[Case]:
    """The whole matrix."""
    return [
        Case(scene, str(point), kind)
        for scene, (_, points) in SCENES.items()
        for point in points
        for kind in KINDS
    ]


class Children:
    """Forks child processes through the parent of `child_process.py`."""

    def __init__(self, log: Path) -> None:
        self.log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.child_process"],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip
        self._read_line()

    def _request(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self._read_line()

    def _read_line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"tests.faults.child_process ended: {self.log.read_text()[-2000:]}")
        return line

    def fork(self, order: dict[str, Any]) -> int:
        """Start a child; returns its pid."""
        return int(self._request(msgspec.json.encode(order).decode()))

    def wait(self, pid: int) -> int:
        """Its exit status: 0 done, 3 gave up with an error, below zero the signal."""
        return int(self._request(str(pid)))

    def run(self, order: dict[str, Any]) -> int:
        """Start a child and wait for it; returns its exit status."""
        return self.wait(self.fork(order))

    def stop(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@contextmanager
def child_processes(folder: Path) -> Iterator[Children]:
    """Children for the length of a block; their parent logs to the folder."""
    children = Children(folder / "children.log")
    try:
        yield children
    finally:
        children.stop()


class Matrix:
    """Runs cases on running servers: `settings` are those of app_user, `admin_url` is a superuser's."""

    def __init__(
        self, settings: Settings, admin_url: str, world: World, children: Children, folder: Path
    ) -> None:
        self.settings, self.admin_url, self.world = settings, admin_url, world
        self.children, self.folder = children, folder
        self.undisturbed_runs: dict[str, UndisturbedRun] = {}

    async def problems(self, case: Case) -> list[str]:
        """Run a case; returns what is wrong afterwards."""
        undisturbed = await self._undisturbed(case.scene)
        if case.point not in undisturbed.at:
            return ["the scene never comes to this point"]
        stage, prepared = await self._prepare(case.scene)
        deliveries = self._deliveries(stage)
        finish = msgspec.structs.replace(prepared, action="drain")
        broken = self.children.fork(
            self._order(stage, prepared, deliveries, point=case.point, kind=case.kind)
        )
        if case.kind is Kind.STALL:
            await until(lambda: LOG_EVENT in text_of(deliveries, ".log"))
            await asyncio.sleep(1.2)  # its lease is over and it is still stalled
            self.children.run(self._order(stage, finish, deliveries))
        code = self.children.wait(broken)
        problems: list[str] = []
        if LOG_EVENT not in text_of(deliveries, ".log"):
            problems.append("the point was not reached")
        state = await self._state(stage)
        if case.kind is Kind.KILL and state not in undisturbed.around(case.point):
            problems.append(f"neither the state before the commit nor the one after it: {state}")
        elif code != 0 and not is_legal(state, undisturbed):  # other contacts went on after the broken one
            problems.append(f"half-written: {state}")
        if prepared.action not in ("drain", "release") and state == undisturbed.before:
            self.children.run(self._order(stage, prepared, deliveries))  # the member presses again
        problems += await self._finish(case, stage, finish, deliveries, undisturbed)
        return problems + repeated_emails(deliveries)

    async def _undisturbed(self, scene: str) -> UndisturbedRun:
        if scene not in self.undisturbed_runs:
            stage, prepared = await self._prepare(scene)
            deliveries = self._deliveries(stage)
            before = await self._state(stage)
            if self.children.run(self._order(stage, prepared, deliveries, trace=True)):
                raise RuntimeError(f"{scene} fails without a fault: {text_of(deliveries, '.log')[-2000:]}")
            at: dict[str, str] = {}
            for line in text_of(deliveries, ".trace").splitlines():
                point, state = json.loads(line)
                at.setdefault(point, state)
            finish = msgspec.structs.replace(prepared, action="drain")
            self.children.run(self._order(stage, finish, deliveries))
            self.undisturbed_runs[scene] = UndisturbedRun(before, at, await self._state(stage))
        return self.undisturbed_runs[scene]

    async def _finish(
        self, case: Case, stage: Stage, finish: Prepared, deliveries: Path, undisturbed: UndisturbedRun
    ) -> list[str]:
        """Other workers go on until the state is that of the end of the undisturbed run, apart from doubt."""
        end = time.monotonic() + TIMEOUT_SECONDS
        state = ""
        ahead = 600.0 if case.scene == "job" else 0.0  # a job that failed is tried again after a while
        while time.monotonic() < end:
            self.children.run(self._order(stage, finish, deliveries, ahead=ahead))
            state = await self._state(stage)
            if state == undisturbed.end:
                return []
            if case.may_leave_doubt and only_doubt_differs(state, undisturbed.end):
                return []
            await asyncio.sleep(0.3)
        return [f"it does not end as it should: {state}\n    but as: {undisturbed.end}"]

    async def _prepare(self, scene: str) -> tuple[Stage, Prepared]:
        stage = Stage(self.world, await self.world.account(scene), TestClock(), Outside())
        return stage, await SCENES[scene][0](stage)

    def _deliveries(self, stage: Stage) -> Path:
        return self.folder / f"{stage.account}.txt"

    async def _state(self, stage: Stage) -> str:
        return await state_of(self.admin_url, stage.account)

    def _order(self, stage: Stage, prepared: Prepared, deliveries: Path, **more: Any) -> dict[str, Any]:
        """An `Order` of `child_process.py`."""
        return {
            **msgspec.structs.asdict(prepared),
            "account": stage.account,
            "database_url": self.settings.database_url,
            "admin_url": self.admin_url,
            "redis_url": self.settings.redis_url,
            "deliveries": str(deliveries),
            "log": str(deliveries) + ".log",
            **more,
        }


def repeated_emails(deliveries: Path) -> list[str]:
    """Emails that went out twice, although their step says hold. A webhook may be called twice, with its
    key."""
    lines = Counter(text_of(deliveries).splitlines())
    return [f"twice: {line}" for line, count in lines.items() if count > 1 and line.startswith("email")]


def text_of(deliveries: Path, suffix: str = "") -> str:
    """What a process wrote there; "" when there is nothing yet."""
    path = Path(f"{deliveries}{suffix}")
    return path.read_text() if path.exists() else ""


async def until(condition: Callable[[], bool], seconds: float = TIMEOUT_SECONDS) -> None:
    """Wait until another process has made it true. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 -- it happens in another process
            await asyncio.sleep(0.02)


def is_legal(state: str, undisturbed: UndisturbedRun) -> bool:
    """Whether each contact is in a state that some contact had at some moment of the undisturbed run. Which
    of its events are matched by then does not count: matching runs beside it."""

    def contact_states(state: str) -> set[str]:
        return {json.dumps(contact | {"events": None}) for contact in json.loads(state)["contacts"]}

    moments = (undisturbed.before, *undisturbed.at.values(), undisturbed.end)
    return contact_states(state) <= set().union(*(contact_states(moment) for moment in moments))


def only_doubt_differs(state: str, end: str) -> bool:
    """Whether each contact is as at the end of the undisturbed run, or held with an effect in doubt."""
    actual, expected = json.loads(state), json.loads(end)
    in_doubt = [contact for contact in actual["contacts"] if is_in_doubt(contact)]
    others = Counter(json.dumps(contact) for contact in actual["contacts"] if not is_in_doubt(contact))
    ends = Counter(json.dumps(contact) for contact in expected["contacts"])
    return bool(in_doubt) and not others - ends and actual["account"]["batches"] is None


def is_in_doubt(contact: dict[str, Any]) -> bool:
    """Whether the contact has an effect in doubt and waits for a member's decision."""
    statuses = [effect[2] for effect in contact["effects"] or []]
    return "unknown" in statuses and contact["enrollments"][-1][3] == "hold"


async def run_cases(matrix: Matrix, selected: list[Case], report: Report) -> dict[str, list[str]]:
    """Run cases one by one; returns the problems by case."""
    failures: dict[str, list[str]] = {}
    for number, case in enumerate(selected, 1):
        try:
            problems = await matrix.problems(case)
        except Exception as error:  # noqa: BLE001 -- a case that breaks is a case that fails
            problems = [repr(error)]
        report(f"{number}/{len(selected)} {case} {'FAILED' if problems else 'ok'}")
        if problems:
            failures[str(case)] = problems
    return failures


def run(report: Report, selected: list[Case] | None = None) -> dict[str, list[str]]:
    """Run the whole matrix, or the selected cases, on servers of its own; returns the problems by case."""
    from tests.faults.servers import servers

    with tempfile.TemporaryDirectory() as name, servers() as (settings, admin_url):
        folder = Path(name)
        with child_processes(folder) as children:
            return asyncio.run(_run(settings, admin_url, children, folder, selected or cases(), report))


async def _run(
    settings: Settings, admin_url: str, children: Children, folder: Path, selected: list[Case], report: Report
) -> dict[str, list[str]]:
    runtime = open_runtime(settings, mailer=Outside(), caller=Outside(), pool_size=0)
    world = World(cast("Any", None), admin_url, [], runtime)
    try:
        return await run_cases(Matrix(settings, admin_url, world, children, folder), selected, report)
    finally:
        await runtime.close()
