"""F02: every point of `app/fault_hook.py` × every kind of fault, with real processes on a real PostgreSQL.

Each case: a scene is set, a process does its work and is broken at one point. What is committed then is one
of the two neighbours of that point as an undisturbed run has them; another process finishes the work; nothing
that must not be repeated went out twice, and the end is that of the undisturbed run, or a doubt that is said.
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
from scripts.local.environment import ROOT
from tests.faults.account_state import state_of
from tests.faults.injector import LOG_EVENT, Kind
from tests.faults.scenarios import SCENES, Prepared
from tests.support.fakes import Outside, TestClock
from tests.support.scenario import Stage
from tests.support.world import World

KINDS = (Kind.KILL, Kind.RAISE, Kind.DROP, Kind.STALL, Kind.FLUSH)
PATIENCE = 15.0
# Between the call and its outcome a process that dies leaves a doubt.
DOUBTFUL_POINTS = ("effect.started.after", Moment.EFFECT_CALLED, "effect.finished.before")
DOUBTFUL_KINDS = (Kind.KILL, Kind.RAISE, Kind.STALL)
Report = Callable[[str], None]


class Case(msgspec.Struct, frozen=True):
    scene: str
    point: str
    kind: Kind

    def __str__(self) -> str:
        return f"{self.scene}: {self.point}:{self.kind}"


class Undisturbed(msgspec.Struct):
    """A run without a fault: what was committed at each point when it was first passed, and at the end."""

    before: str
    at: dict[str, str]
    end: str


def cases() -> list[Case]:
    return [
        Case(name, str(point), kind)
        for name, (_, points) in SCENES.items()
        for point in points
        for kind in KINDS
    ]


class Children:
    """The end of tests/faults/child.py that we hold."""

    def __init__(self, log: Path) -> None:
        self.log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.child"],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip
        self._heard()

    def _request(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self._heard()

    def _heard(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"tests.faults.child ended: {self.log.read_text()[-2000:]}")
        return line

    def fork(self, order: dict[str, Any]) -> int:
        return int(self._request(msgspec.json.encode(order).decode()))

    def wait(self, pid: int) -> int:
        """Its exit status: 0 done, 3 gave up with an error, below zero the signal."""
        return int(self._request(str(pid)))

    def stop(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@contextmanager
def children(folder: Path) -> Iterator[Children]:
    children = Children(folder / "children.log")
    try:
        yield children
    finally:
        children.stop()


class Matrix:
    """On servers that run: `settings` of app_user, `admin_url` of a superuser."""

    def __init__(
        self, settings: Settings, admin_url: str, world: World, kids: Children, folder: Path
    ) -> None:
        self.settings, self.admin_url, self.world = settings, admin_url, world
        self.kids, self.folder = kids, folder
        self.undisturbed_runs: dict[str, Undisturbed] = {}

    def order(self, stage: Stage, prepared: Prepared, sink: Path, **more: Any) -> dict[str, Any]:
        return {
            **msgspec.structs.asdict(prepared),
            "account": stage.account,
            "database_url": self.settings.database_url,
            "admin_url": self.admin_url,
            "redis_url": self.settings.redis_url,
            "sink": str(sink),
            "log": str(sink) + ".log",
            **more,
        }

    async def stage(self, scene: str) -> tuple[Stage, Prepared]:
        stage = Stage(self.world, await self.world.account(scene), TestClock(), Outside())
        return stage, await SCENES[scene][0](stage)

    async def state(self, stage: Stage) -> str:
        return await state_of(self.admin_url, stage.account)

    async def undisturbed(self, scene: str) -> Undisturbed:
        if scene not in self.undisturbed_runs:
            stage, prepared = await self.stage(scene)
            sink = self.folder / f"{stage.account}.txt"
            before = await self.state(stage)
            code = self.kids.wait(self.kids.fork(self.order(stage, prepared, sink, trace=True)))
            if code:
                raise RuntimeError(f"{scene} does not even go well: {text_of(sink, '.log')[-2000:]}")
            at: dict[str, str] = {}
            for line in text_of(sink, ".trace").splitlines():
                point, state = json.loads(line)
                at.setdefault(point, state)
            again = msgspec.structs.replace(prepared, action="drain")
            self.kids.wait(self.kids.fork(self.order(stage, again, sink)))
            self.undisturbed_runs[scene] = Undisturbed(before, at, await self.state(stage))
        return self.undisturbed_runs[scene]

    async def complaints(self, case: Case) -> list[str]:
        """What is wrong after this case; nothing, it is hoped."""
        calm = await self.undisturbed(case.scene)
        if case.point not in calm.at:
            return ["the scene never comes to this point"]
        stage, prepared = await self.stage(case.scene)
        sink = self.folder / f"{stage.account}.txt"
        broken = self.kids.fork(self.order(stage, prepared, sink, point=case.point, kind=case.kind))
        finisher = msgspec.structs.replace(prepared, action="drain")
        complaints: list[str] = []
        code: int | None = None
        if case.kind is Kind.STALL:
            await until(lambda: LOG_EVENT in text_of(sink, ".log"))
            await asyncio.sleep(1.2)  # its lease is over, and it still stands
            self.kids.wait(self.kids.fork(self.order(stage, finisher, sink)))
        code = self.kids.wait(broken)
        if LOG_EVENT not in text_of(sink, ".log"):
            complaints.append("the point was not reached")
        now = await self.state(stage)
        if case.kind is Kind.KILL and now not in self.neighbours(calm, case.point):
            complaints.append(f"not one of the two neighbours: {now}")
        elif code != 0 and not legal(now, calm):  # others went on after the one that was broken
            complaints.append(f"half-written: {now}")
        if prepared.action not in ("drain", "give back") and now == calm.before:
            self.kids.wait(self.kids.fork(self.order(stage, prepared, sink)))  # the person presses again
        complaints += await self.finished(case, stage, finisher, sink, calm)
        complaints += self.repeats(sink)
        return complaints

    @staticmethod
    def neighbours(calm: Undisturbed, point: str) -> list[str]:
        side = point.rpartition(".")[0]
        return [calm.at[passed] for passed in (point, f"{side}.before", f"{side}.after") if passed in calm.at]

    async def finished(
        self, case: Case, stage: Stage, finisher: Prepared, sink: Path, calm: Undisturbed
    ) -> list[str]:
        """Another worker goes on until the end is that of the undisturbed run, but for who is in doubt."""
        doubt = case.point in DOUBTFUL_POINTS and case.kind in DOUBTFUL_KINDS
        end = time.monotonic() + PATIENCE
        state = ""
        ahead = 600.0 if case.scene == "job" else 0.0  # what failed is tried again after a while
        while time.monotonic() < end:
            self.kids.wait(self.kids.fork(self.order(stage, finisher, sink, ahead=ahead)))
            state = await self.state(stage)
            if state == calm.end or (doubt and only_doubt_differs(state, calm.end)):
                return []
            await asyncio.sleep(0.3)
        return [f"it does not end as it should: {state}\n    but as: {calm.end}"]

    @staticmethod
    def repeats(sink: Path) -> list[str]:
        """No mail twice, ever: its step says hold. A webhook may be, with its key."""
        lines = Counter(text_of(sink).splitlines())
        return [f"twice: {line}" for line, count in lines.items() if count > 1 and line.startswith("email")]


def text_of(sink: Path, more: str = "") -> str:
    """What a process wrote there; nothing yet is nothing."""
    path = Path(f"{sink}{more}")
    return path.read_text() if path.exists() else ""


async def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 -- it happens in another process
            await asyncio.sleep(0.02)


def legal(now: str, calm: Undisturbed) -> bool:
    """Whether everybody stands as somebody stood at some moment of the undisturbed run. Which of their events
    are matched by then is another lane's pace."""

    def alone(state: str) -> set[str]:
        return {json.dumps(person | {"events": None}) for person in json.loads(state)["people"]}

    stood = set().union(*(alone(state) for state in (calm.before, *calm.at.values(), calm.end)))
    return alone(now) <= stood


def only_doubt_differs(state: str, end: str) -> bool:
    """Everybody stands as they should, but for people whose message is in doubt and who are held for it."""
    actual, expected = json.loads(state), json.loads(end)
    held = [person for person in actual["people"] if in_doubt(person)]
    others = Counter(json.dumps(person) for person in actual["people"] if not in_doubt(person))
    should = Counter(json.dumps(person) for person in expected["people"])
    return bool(held) and not others - should and actual["around"]["batches"] is None


def in_doubt(person: dict[str, Any]) -> bool:
    states = [effect[2] for effect in person["effects"] or []]
    return "unknown" in states and person["enrollments"][-1][3] == "hold"


async def run_cases(matrix: Matrix, selected: list[Case], report: Report) -> dict[str, list[str]]:
    """The complaints by case; empty when all is well."""
    failures: dict[str, list[str]] = {}
    for number, case in enumerate(selected, 1):
        try:
            complaints = await matrix.complaints(case)
        except Exception as error:  # noqa: BLE001 -- a case that breaks is a case that fails
            complaints = [repr(error)]
        report(f"{number}/{len(selected)} {case} {'FAILED' if complaints else 'ok'}")
        if complaints:
            failures[str(case)] = complaints
    return failures


def run(report: Report, selected: list[Case] | None = None) -> dict[str, list[str]]:
    """The whole matrix on servers of its own; the complaints by case."""
    from tests.faults.servers import servers

    with tempfile.TemporaryDirectory() as name, servers() as (settings, admin_url):
        folder = Path(name)
        with children(folder) as kids:
            return asyncio.run(_run(settings, admin_url, kids, folder, selected or cases(), report))


async def _run(
    settings: Settings, admin_url: str, kids: Children, folder: Path, selected: list[Case], report: Report
) -> dict[str, list[str]]:
    runtime = open_runtime(settings, mailer=Outside(), caller=Outside(), pool_size=0)
    world = World(cast("Any", None), admin_url, [], runtime)
    try:
        return await run_cases(Matrix(settings, admin_url, world, kids, folder), selected, report)
    finally:
        await runtime.close()
