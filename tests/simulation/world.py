"""One world: what may happen in it next, chosen by its seed, and what must be true after each step."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from random import Random
from uuid import UUID

from app.engine.core.types import ExitReason, Status, WaitReason
from app.engine.core.version import Program
from app.filters.facts import FactValue
from tests.simulation import workers
from tests.simulation.laws import at_rest
from tests.simulation.store import Row, SimulatedContact, Store
from tests.simulation.transport import Transport
from tests.simulation.workflows import CITIES, DAY, POINTS, TEAM, a_program
from tests.support.engine_kit import COLD, NOW, VIP

WORKFLOWS = [UUID(int=100), UUID(int=101), UUID(int=102)]


class Died(Exception):
    """A worker that is no more; its transaction with it."""


class SimulatedWorld:
    """`step` lets one thing happen; `settle` lets the faults end and waits until nothing is left to do."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)  # noqa: S311 -- a world that can be made again
        self.store = Store(NOW)
        self.transport = Transport()
        self.store.fail = self._fail
        self.faults = True
        self.steps = self.tried = 0  # those in which something happened; all
        self.running: list[Iterator[None]] = []
        self.programs: list[Program] = [a_program(self.rng, workflow, 1) for workflow in WORKFLOWS]
        for number in range(5):
            self.store.contacts.append(self._contact(number))
        self.actions = self._actions()
        self.names = list(self.actions)
        self.weights = [weight for weight, _ in self.actions.values()]

    def _contact(self, number: int) -> SimulatedContact:
        rng = self.rng
        values: dict[str, FactValue] = {
            "email": "a@x.test" if rng.random() < 0.8 else None,
            "phone": "+12025550123" if rng.random() < 0.8 else None,
            "city": rng.choice(CITIES) or None,
            "time_zone": rng.choice(["America/New_York", "Asia/Tokyo", "Mars/Base", None]),
            DAY: rng.choice(["2026-11-25", "2026-12-01", None]),
        }
        return SimulatedContact(UUID(int=3000 + number), values, {VIP} if rng.random() < 0.2 else set())

    def _actions(self) -> dict[str, tuple[int, Callable[[], bool]]]:
        return {
            "work": (50, self.work),
            "mover": (12, lambda: self.begin(workers.mover(self.store, self.rng))),
            "sender": (10, lambda: self.begin(workers.sender(self.store, self.transport, self.rng))),
            "die": (2, self.die),
            "tick": (10, lambda: self.tick(self.rng.choice([1, 20, 61, 600, 3600, 40_000, 90_000]))),
            "enroll": (6, self.enroll),
            "tag": (5, self.tag),
            "field": (4, self.field),
            "note": (1, self.note),
            "consent": (1, self.consent),
            "answer": (2, self.answer),
            "pause": (2, self.pause),
            "resume": (3, self.resume),
            "skip": (1, self.skip),
            "remove": (1, self.remove),
            "delete": (1, self.delete),
            "publish": (1, self.publish),
            "sweep": (3, lambda: workers.sweep(self.store)),
            "decide": (2, self.decide),
            "late": (2, self.transport.deliver_late),
        }

    # Steps

    def step(self) -> None:
        """One thing happens; then the laws are checked for every enrollment that it touched."""
        name = self.rng.choices(self.names, self.weights)[0]
        self.do(name)

    def do(self, name: str) -> None:
        self.tried += 1
        self.steps += self.actions[name][1]()
        for row in self.store.touched:
            if not row.locked:
                self.store.check(row)
        self.store.touched.clear()
        if self.tried % 64 == 0:
            self.store.forget()

    def _fail(self, rng: Random) -> None:
        if self.faults and rng.random() < 0.08:
            raise Died

    def begin(self, worker: Iterator[None]) -> bool:
        if len(self.running) >= 4:
            return False
        self.running.append(worker)
        return self._go_on(len(self.running) - 1)

    def work(self) -> bool:
        return bool(self.running) and self._go_on(self.rng.randrange(len(self.running)))

    def _go_on(self, index: int) -> bool:
        try:
            next(self.running[index])
        except (StopIteration, Died):
            del self.running[index]
        return True

    def die(self) -> bool:
        """Killed: what it had not committed never was; its leases stay until they run out."""
        if not self.running:
            return False
        worker = self.running.pop(self.rng.randrange(len(self.running)))
        worker.close()  # type: ignore[attr-defined]  # -- every worker is a generator
        return True

    def tick(self, seconds: int) -> bool:
        self.store.now += timedelta(seconds=seconds)
        return True

    # Contacts and events

    def some(self) -> SimulatedContact | None:
        """A contact that no transaction is writing to."""
        contact = self.rng.choice(self.store.contacts)
        return None if contact.locked else contact

    def waiting_row(self, *reasons: WaitReason) -> Row | None:
        """An active enrollment that no worker holds, waiting for one of these reasons or for any."""
        free = [row for row in self.store.live if row.status is Status.ACTIVE and not row.locked]
        candidates = [row for row in free if not reasons or row.wait_reason in reasons]
        return self.rng.choice(candidates) if candidates else None

    def enroll(self) -> bool:
        place = self.rng.randrange(len(self.store.contacts))
        contact, program = self.store.contacts[place], self.rng.choice(self.programs)
        if contact.deleted and self.rng.random() < 0.7:
            self.store.contacts[place] = self._contact(self.rng.randrange(10**6))
            return True
        number = len(self.store.rows)
        wait = timedelta(seconds=program.version.settings.settle_seconds)
        row = Row(UUID(int=10**9 + number), contact, program, self.store.now + wait, gone=contact.deleted)
        row.version = (program.version.workflow_id, program.version.number)
        self.store.rows.append(row)
        self.store.live.append(row)
        self.store.touched.append(row)
        return True

    def tag(self) -> bool:
        contact, tag = self.some(), self.rng.choice([VIP, COLD])
        if contact is None:
            return False
        contact.tags ^= {tag}
        kind = "tag.added" if tag in contact.tags else "tag.removed"
        workers.change(self.store, contact, (kind, str(tag)))
        return True

    def field(self) -> bool:
        contact = self.some()
        if contact is None:
            return False
        contact.values["city"] = self.rng.choice(CITIES) or None
        contact.values[POINTS] = self.rng.randint(0, 9)
        contact.values["owner"] = self.rng.choice([None, *map(str, TEAM)])
        workers.change(self.store, contact, ("contact.updated", "city"))
        return True

    def note(self) -> bool:
        workers.change(self.store, self.rng.choice(self.store.contacts), ("note.added", ""))
        return True

    def consent(self) -> bool:
        contact = self.some()
        if contact is None:
            return False
        key = self.rng.choice(["email_consent", "sms_consent"])
        contact.values[key] = self.rng.choice(["granted", "denied"])
        return True

    def answer(self) -> bool:
        row = self.waiting_row(WaitReason.APPROVAL)
        if row is None:
            return False
        row.answer = self.rng.choice(["b1", "b2"])
        self.store.wake(row)
        return True

    def pause(self) -> bool:
        row = self.waiting_row()
        if row is None:
            return False
        row.paused, row.due_at = True, None
        self.store.touched.append(row)
        return True

    def resume(self) -> bool:
        paused = [row for row in self.store.live if row.paused]
        if not paused:
            return False
        row = self.rng.choice(paused)
        row.paused = False
        self.store.wake(row)
        return True

    def skip(self) -> bool:
        """A person skips a wait: the moment is now; a window is opened."""
        row = self.waiting_row(WaitReason.TIMER, WaitReason.WINDOW)
        if row is None:
            return False
        row.wait_until, row.woken = self.store.now, row.wait_reason is WaitReason.WINDOW
        self.store.wake(row)
        return True

    def remove(self) -> bool:
        row = self.waiting_row()
        if row is None:
            return False
        workers.remove(self.store, row, ExitReason.REMOVED_BY_USER)
        return True

    def delete(self) -> bool:
        contact = self.some()
        if contact is None or contact.deleted or self.rng.random() < 0.5:
            return False
        contact.deleted = True
        for row in self.store.live:
            if row.contact is contact and not row.gone:
                self.store.wake(row)
        return True

    def publish(self) -> bool:
        place = self.rng.randrange(len(self.programs))
        old = self.programs[place].version
        self.programs[place] = a_program(self.rng, old.workflow_id, old.number + 1)
        return True

    def decide(self) -> bool:
        """On-call looks at an effect in doubt: it went out, or send it again."""
        doubted = [entry for entry in self.store.open_effects if entry.status == "unknown"]
        if not doubted:
            return False
        entry = self.rng.choice(doubted)
        if self.rng.random() < 0.5:
            entry.status, entry.in_doubt, entry.by_hand = "sent", False, True
        else:
            entry.status, entry.resend_requested, entry.due_at = "pending", True, self.store.now
        self.store.wake(entry.row)
        return True

    # The end

    def settle(self) -> None:
        """Without faults all due work is done within a while: no row is past due and still waits."""
        self.faults = False
        while self.running:
            self.do("work")
        for row in self.store.live:
            if row.paused:
                row.paused = False
                self.store.wake(row)
        for _ in range(3):
            self.tick(86_400)
            for _ in range(400):
                if not self._once():
                    break
        at_rest(self.store, self.transport)

    def _once(self) -> bool:
        """Everything that is due once; whether there was anything."""
        self.do("sweep")
        before = self.store.moves, self.store.wakes, self.transport.calls
        self.do("mover")
        self.do("sender")
        while self.running:
            self.do("work")
        self.do("decide")
        return (self.store.moves, self.store.wakes, self.transport.calls) != before


def simulate(seed: int, steps: int) -> int:
    """One world; how many steps it took. Raises AssertionError naming the seed."""
    world = SimulatedWorld(seed)
    try:
        while world.steps < steps:
            world.step()
        world.settle()
    except Exception as error:
        raise AssertionError(f"seed {seed}, step {world.steps}: {type(error).__name__}: {error}") from error
    return world.steps


def simulate_many(steps: int, seed: int = 0, each: int = 500) -> int:
    """World after world until `steps` are done, from a first seed on; how many it were. Raises
    AssertionError naming the seed that failed."""
    done = 0
    while done < steps:
        done += simulate(seed, each)
        seed += 1
    return done
