"""The checks of a watch, asked one after the other, so that a latency is not that of another check that runs beside it.

Where one is slow, the next ones do not wait for it: each has a thread and a connection of its own.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

import psycopg

from checks.kind import CheckEnvironment
from checks.measure import measure
from gonogo import clock
from gonogo.core.engine.verdict import Measurement
from gonogo.postgres.connection import Connection
from gonogo.run.session import Session

#: the seconds after which a check is slow, and the next one is asked beside it
_SLOW = 0.5


class _Asked(NamedTuple):
    """A check that is being asked: since when, by the server's clock and by one that nobody sets."""

    moment: datetime
    since: float
    answer: Future[Measurement]


class Askers:
    """Asks some checks, again and again, as long as each takes.

    Args:
        session: whose plan and target.
        names: the checks.
        baseline: what they measured before the first change.
        environment: what else they may need.
    """

    def __init__(
        self, session: Session, names: Sequence[str], baseline: Mapping[str, Measurement], environment: CheckEnvironment
    ) -> None:
        self._session, self._names, self._baseline, self._environment = session, names, baseline, environment
        self._threads = ThreadPoolExecutor(max(1, len(names)), "gonogo-check")
        self._connections: dict[str, Connection] = {}
        self._waiting: deque[str] = deque()
        self._asking: dict[str, _Asked] = {}
        #: when the newest answer of each was asked for, by the server's clock
        self._asked_at: dict[str, datetime] = {}
        self._moment: datetime | None = None
        self._since = clock.monotonic()

    @property
    def waited(self) -> float:
        """For how many seconds answers have been waited for."""
        return clock.monotonic() - self._since

    def ask(self, moment: datetime) -> None:
        """Ask each check that is not being asked already."""
        self._moment, self._since = moment, clock.monotonic()
        self._waiting = deque(name for name in self._names if name not in self._asking)

    def answered(self, patience: float, over: threading.Event) -> Iterator[dict[str, Measurement]]:
        """Yield what was answered, as it comes, or nothing after a second; until all have answered, or others are asked again.

        Args:
            patience: seconds after which those who have answered are asked again, without waiting for the others.
            over: where it is set, all are waited for.

        Raises:
            Unreachable: the target does not answer.
        """
        found: dict[str, Measurement] = {}
        while self._waiting or self._asking:
            self._start_next()
            wait([asked.answer for asked in self._asking.values()], self._glance(), return_when=FIRST_COMPLETED)
            found |= {name: self._take(name) for name, asked in list(self._asking.items()) if asked.answer.done()}
            if not self._waiting and self._only_slow():
                yield found
                found = {}
                if self.waited >= patience and not over.is_set():
                    return

    def _start_next(self) -> None:
        """Ask the next one where none, or only slow ones, are being asked."""
        if self._waiting and self._only_slow() and self._moment is not None:
            name = self._waiting.popleft()
            self._asking[name] = _Asked(self._moment, clock.monotonic(), self._threads.submit(self._ask, name))

    def _only_slow(self) -> bool:
        return all(clock.monotonic() - asked.since >= _SLOW for asked in self._asking.values())

    def _glance(self) -> float:
        """Return the seconds until something is to be done if nobody answers."""
        newest = max((asked.since for asked in self._asking.values()), default=clock.monotonic())
        return max(0.01, newest + _SLOW - clock.monotonic()) if not self._only_slow() else 1.0

    def _take(self, name: str) -> Measurement:
        asked = self._asking.pop(name)
        self._asked_at[name] = asked.moment
        return asked.answer.result()

    def all_since(self, moment: datetime) -> bool:
        """Return whether the newest answer of each was asked for after a moment."""
        return all(name in self._asked_at and self._asked_at[name] > moment for name in self._names)

    def _ask(self, name: str) -> Measurement:
        """Ask a check; where its connection is cut off meanwhile, that is no answer, and it is asked once more."""
        session = self._session
        for again in (True, False):
            connection = self._connections.get(name)
            if connection is None or connection.closed:
                connection = self._connections[name] = session.database.connect(f"{session.name}/watch")
            found = measure(session.plan, name, self._environment, connection, self._baseline.get(name))
            if not (found.error and connection.closed and again):
                break
        return found

    def close(self) -> None:
        """End, without waiting for what is still being asked."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for connection in list(self._connections.values()):
            with suppress(psycopg.Error):
                connection.close()
