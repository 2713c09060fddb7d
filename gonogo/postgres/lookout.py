"""Sees, while a session's statement runs for longer than a moment, who is in its way and who waits behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psycopg

from gonogo import clock
from gonogo.errors import Unreachable
from gonogo.postgres.blockers import blocking, waiting
from gonogo.postgres.connection import Connection, Database

#: how often it looks while somebody waits, in seconds; what is over sooner is not seen
_LOOK = 0.03
#: how much of the time that a statement has run may pass between two looks while nobody does, and the seconds that do at most
_SHARE, _RARELY = 0.2, 0.5


@dataclass(kw_only=True)
class Sighting:
    """What was seen of one statement."""

    pid: int
    since: float = field(default_factory=clock.monotonic)
    #: the sessions that it waited for, by their process: as people find them
    in_the_way: dict[int, str] = field(default_factory=dict)
    #: the seconds in which at least one other session waited for its locks
    others_waited: float = 0.0
    #: whether somebody waited at the newest look, and when that was
    behind: bool = False
    looked: float | None = None

    def take(self, now: float, behind: int) -> None:
        """Take in a look: what was so at it and at the one before it was so all the time between."""
        if behind and self.behind and self.looked is not None:
            self.others_waited += now - self.looked
        self.behind, self.looked = behind > 0, now


class Lookout:
    """Looks at one session's statements from a connection of its own, which is made when there is something to look at.

    Args:
        database: where they run.
        name: whose it is, as application_name.
    """

    def __init__(self, database: Database, name: Callable[[], str]) -> None:
        self._database, self._name = database, name
        self._over = threading.Event()
        self._current: Sighting | None = None
        self._connection: Connection | None = None
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self, pid: int) -> Iterator[Sighting]:
        """See what becomes of the statement that runs inside, of that backend."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="gonogo lookout", daemon=True)
            self._thread.start()
        sighting = self._current = Sighting(pid=pid)
        try:
            yield sighting
        finally:
            self._current = None
            if sighting.behind and sighting.looked is not None:
                sighting.take(clock.monotonic(), 1)

    def close(self) -> None:
        """End it, and its connection; the next statement begins it anew."""
        thread, self._thread = self._thread, None
        self._over.set()
        if thread is not None:
            thread.join(timeout=5)
        self._over = threading.Event()

    def _run(self) -> None:
        pause, over = _LOOK, self._over
        while not over.wait(pause):
            sighting = self._current
            lasted = clock.monotonic() - sighting.since if sighting is not None else 0.0
            pause = _LOOK
            if sighting is None or lasted < _LOOK:
                continue
            # a look that cannot be had is one that saw nothing: what it looks at matters more
            with suppress(psycopg.Error, Unreachable):
                self._look(sighting)
            if not sighting.in_the_way and not sighting.behind:
                pause = min(_RARELY, max(_LOOK, lasted * _SHARE))
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _look(self, sighting: Sighting) -> None:
        if self._connection is None or self._connection.closed:
            self._connection = self._database.connect(f"{self._name()}/lookout")
        connection = self._connection
        waits, behind = waiting(connection, sighting.pid)
        if self._current is not sighting:
            return
        sighting.take(clock.monotonic(), behind)
        if waits and (found := blocking(connection, sighting.pid)) and self._current is sighting:
            sighting.in_the_way = found
