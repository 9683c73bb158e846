"""One run of the benchmark: its servers, the measured account, our web server, and the peers when a part
needs them."""

import itertools
from contextlib import AsyncExitStack
from functools import cached_property

import msgspec

from scripts._lib.bench.http.load_generator import Request
from scripts._lib.bench.http.peers.processes import Peer, running_django, running_fastapi
from scripts._lib.bench.http.processes import Site, running_site
from scripts._lib.bench.http.seeds import Seeded, seed_large_account, wait_until_counted
from scripts._lib.bench.testbed import Testbed
from scripts._lib.dev.terminal import print_progress

LIST = "/contacts"


class HttpSizes(msgspec.Struct, frozen=True):
    """How much of everything: contacts of the measured account and of all, rounds, seconds of a round,
    requests whose statements are counted, contacts of the large account, seconds of the
    searches in it, and how often its builder is read."""

    contacts: int = 5_000
    all_contacts: int = 100_000
    accounts: int = 5
    rounds: int = 5
    seconds: float = 3.0
    counted: int = 15
    large_contacts: int = 1_000_000
    search_seconds: float = 15.0
    polls: int = 12


class MeasuredRun:
    """The servers and processes of one run. `stack` ends those that are started on the first use."""

    def __init__(self, testbed: Testbed, seeded: Seeded, sizes: HttpSizes, stack: AsyncExitStack) -> None:
        self.testbed, self.seeded, self.sizes, self.stack = testbed, seeded, sizes, stack
        self.numbers = itertools.count()
        self.large: Seeded | None = None

    @cached_property
    def site(self) -> Site:
        """Our web server."""
        return self.stack.enter_context(running_site(self.testbed, self.seeded))

    @cached_property
    def fastapi(self) -> Peer:
        return self.stack.enter_context(running_fastapi(self.testbed, self.seeded))

    @cached_property
    def django(self) -> Peer:
        return self.stack.enter_context(running_django(self.testbed, self.seeded))

    async def large_account(self) -> Seeded:
        """The large account, seeded on the first call."""
        if self.large is None:
            print_progress(f"seeding {self.sizes.large_contacts:,} contacts and enrollments …")
            self.large = await seed_large_account(self.testbed, self.sizes.large_contacts)
            await wait_until_counted(self.testbed, self.large)
        return self.large

    def next_contact(self) -> str:
        """The address of one of the newest contacts, in turn."""
        return f"{LIST}/{self.seeded.newest[next(self.numbers) % len(self.seeded.newest)]}"

    def new_contact(self) -> bytes:
        """The body of a contact that doesn't exist yet."""
        number = next(self.numbers)
        return msgspec.json.encode(
            {
                "first_name": "Nora", "last_name": "New", "email": f"nora{number}@new.example",
                "phone": f"+1415555{number % 10_000:04}", "company": "New Ltd",
                "city": "Boston", "state": "MA",
            }
        )  # fmt: skip

    def create(self, site: Site) -> Request:
        """The request that creates a contact."""
        return site.json(LIST, "POST", self.new_contact(), (201,))
