"""The ledger of one run, as its runner has it and as others read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gonogo.core.engine.events import Body, Event, Rehearsed
from gonogo.errors import LedgerWentBack, Refused
from gonogo.ledger import chain, chains, continuity, store
from gonogo.postgres.connection import Connection
from gonogo.run.session import Session


@dataclass(frozen=True, kw_only=True)
class RunReader:
    """The ledger of a run, read on some connection."""

    connection: Connection
    run: str

    def read(self, after: int = 0) -> list[Event]:
        """Return the events after a number, in order."""
        return store.read(self.connection, self.run, after)

    def event(self, seq: int) -> Event:
        """Return one event."""
        return store.read_event(self.connection, self.run, seq)

    def data(self, seq: int) -> dict[str, Any]:
        """Return the body of an event just as it lies in the ledger."""
        return store.read_data(self.connection, self.run, seq)


@dataclass(frozen=True, kw_only=True)
class RunLedger:
    """The ledger of a run, through its runner's session."""

    session: Session

    @property
    def _reader(self) -> RunReader:
        # the session may have made its connection again
        return RunReader(connection=self.session.connection, run=self.session.run)

    def read(self, after: int = 0) -> list[Event]:
        """Return the events after a number, in order."""
        return self._reader.read(after)

    def event(self, seq: int) -> Event:
        """Return one event."""
        return self._reader.event(seq)

    def data(self, seq: int) -> dict[str, Any]:
        """Return the body of an event just as it lies in the ledger."""
        return self._reader.data(seq)

    def newer(self, than: Event) -> list[Event]:
        """Return the events after one that is known.

        Raises:
            LedgerWentBack: that one is not there any more.
        """
        found = self._reader.read(than.seq - 1)
        if not found or continuity.mark(found[0]) != continuity.mark(than):
            raise LedgerWentBack(f"the ledger lacks event {than.seq} of this run, which its runner recorded")
        return found[1:]

    def append(self, body: Body) -> Event:
        """Append an event as the run's runner; after a lost connection, only if it is not there yet."""
        return self.session.append(body)

    def problems(self) -> list[str]:
        """Return what is wrong with the chain of events, and with that of the rehearsals."""
        connection = self.session.connection
        rehearsals = chains.of_rehearsals(self.session.plan.runbook)
        found = [f"the ledger: {problem}" for problem in chain.verify(connection, self.session.run)[1]]
        return found + [f"the rehearsals: {problem}" for problem in chain.verify(connection, rehearsals)[1]]

    def newest_rehearsal(self) -> tuple[int, Rehearsed, Mapping[str, Any]] | None:
        """Return the newest rehearsal of the runbook: its number, what it showed, and what a signature covers."""
        found = chains.newest_rehearsal(self.session.connection, self.session.plan.runbook)
        if found is None:
            return None
        event, data = found
        if not isinstance(event.body, Rehearsed):
            raise Refused("its record is not that of a rehearsal: gonogo did not write it")
        return event.seq, event.body, data

    def later_runs(self, since: datetime) -> list[str]:
        """Return the other runs that changed the target since a moment."""
        rows = self.session.connection.execute(
            "SELECT DISTINCT run FROM gonogo.event WHERE run <> %s AND kind IN ('script done', 'batch done', 'undo done')"
            " AND at > %s::timestamptz ORDER BY 1",
            [self.session.run, since],
        ).fetchall()
        return [str(row[0]) for row in rows]
