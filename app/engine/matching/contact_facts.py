"""A cache of contact facts for one batch of events: each contact is read once, with the workflow membership
and history that the programs looking at it need."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from app.engine.advancing.loader import add_history
from app.engine.core.version import Program
from app.engine.program_cache import AccountContext, WatchedSegment
from app.filters.analysis import UsedHistory
from app.filters.facts import Facts


class ContactFactsCache:
    """Facts by contact id. `load` reads them, `of` returns them. Facts of deleted contacts are kept apart:
    only workflows that the deletion starts see them."""

    def __init__(self, account: AccountContext) -> None:
        self.account = account
        self._facts: dict[UUID, Facts] = {}
        self._gone: dict[UUID, Facts] = {}
        self._read: set[UUID] = set()
        self._brought: dict[str, set[UUID]] = {"workflows": set(), "history": set()}
        self._history = UsedHistory()

    async def load(
        self, readers: Iterable[tuple[UUID, Program | WatchedSegment]], gone: Sequence[UUID] = ()
    ) -> None:
        """Reads each contact together with what its reader (a program or a segment) needs. Contacts in `gone`
        are read even if they are deleted."""
        needed: dict[str, set[UUID]] = {"workflows": set(), "history": set()}
        contacts: set[UUID] = set(gone)
        history = self._history
        for contact, program in readers:
            contacts.add(contact)
            if program.asks_workflows:
                needed["workflows"].add(contact)
            if program.asks_history:
                needed["history"].add(contact)
                history |= program.asks_history
        if history != self._history:
            # No contact's history was read with these conditions yet.
            self._history = history
            self._brought["history"] = set()
        if missing := contacts - self._read:
            self._facts |= await self.account.facts(missing)
            self._read |= missing
        if deleted := set(gone) - self._facts.keys() - self._gone.keys():
            self._gone |= await self.account.deleted_facts(deleted)
        more = {name: ids - self._brought[name] for name, ids in needed.items()}
        if any(more.values()):
            every = self._facts | self._gone
            await add_history(self.account, every, more["workflows"], more["history"], history)
            for name, ids in more.items():
                self._brought[name] |= ids

    def entered(self, contacts: Iterable[UUID]) -> None:
        """These contacts entered workflows: their workflow membership has to be read again."""
        self._brought["workflows"].difference_update(contacts)

    def of(self, contact: UUID, *, gone: bool = False) -> Facts | None:
        """The facts of a loaded contact. None if the contact is deleted, unless `gone` includes deleted
        ones."""
        facts = self._facts.get(contact)
        return self._gone.get(contact) if facts is None and gone else facts
