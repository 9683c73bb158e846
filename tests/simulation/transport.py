"""The transport between a worker and the world: calls get lost, arrive late, twice, or not at all."""

from random import Random

from tests.simulation.store import Entry


class Transport:
    """`arrived` has every arrival by idempotency key with what it said."""

    def __init__(self) -> None:
        self.arrived: dict[str, list[str]] = {}
        self.late: list[Entry] = []
        self.calls = 0

    def call(self, entry: Entry, rng: Random) -> str:
        """What the worker hears: sent, retry (it certainly did not arrive), failed_permanent, or silence."""
        self.calls += 1
        assert entry.attempts, "a call that nobody wrote down"
        drawn = rng.random()
        if drawn < 0.55:
            self.deliver(entry)
            if drawn < 0.05:
                self.deliver(entry)  # the network repeats it
            return "sent"
        if drawn < 0.75:
            return "retry"
        if drawn < 0.8:
            return "failed_permanent"
        if drawn < 0.87:
            self.deliver(entry)  # it arrived, and the answer is lost
        elif drawn < 0.94:
            self.late.append(entry)
        return "silence"

    def deliver(self, entry: Entry) -> None:
        effect = entry.effect
        message = str(sorted(effect.payload.items()))
        arrivals = self.arrived.setdefault(effect.idempotency_key, [])
        assert not arrivals or arrivals[0] == message, "one key, two messages"
        arrivals.append(message)

    def deliver_late(self) -> bool:
        if not self.late:
            return False
        self.deliver(self.late.pop(0))
        return True
