"""Looks beside a backfill: how long reading one row takes, how far standbys are behind, who waits, which checks fail."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import psycopg
from psycopg import sql

from gonogo import clock
from gonogo.core.engine.pace import PERCENT, Look
from gonogo.core.model.step import Pace
from gonogo.errors import Unreachable
from gonogo.postgres.connection import Connection, Database

#: between two probes, in seconds
_PROBES_EVERY = 0.01
#: how many probes a look rests on, and how many are made before the backfill begins
_WINDOW, _IDLE = 200, 160
#: how many of those beside which no batch ran say how it is without
_QUIET = 1000
#: what is told of the server: the seconds of the slowest standby, files to archive, who waits, dead rows of the table
_SEEN = """
SELECT
  (SELECT pg_catalog.max(GREATEST(
     pg_catalog.date_part('epoch', r.replay_lag),
     -- one that does not answer any more measures nothing
     CASE WHEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), r.replay_lsn) > 1048576
       THEN pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - r.reply_time) END))
   FROM pg_catalog.pg_stat_replication r WHERE r.state <> 'backup'),
  (SELECT pg_catalog.count(DISTINCT l.pid) FROM pg_catalog.pg_locks l
   WHERE NOT l.granted AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())),
  (SELECT s.n_dead_tup::float8 / GREATEST(s.n_live_tup, 1)
   FROM pg_catalog.pg_stat_all_tables s WHERE s.relid = pg_catalog.to_regclass(%s))
"""
_ARCHIVE = "SELECT pg_catalog.count(*) FROM pg_catalog.pg_ls_archive_statusdir() WHERE name LIKE '%.ready'"


class NotLooking:
    """Looks nowhere: for what goes flat out, as on a copy, where nobody could notice it."""

    looks = probes = False

    def look(self) -> Look:
        """Return that nothing was seen."""
        return Look()

    def working(self) -> AbstractContextManager[None]:
        """Note nothing."""
        return nullcontext()

    def close(self) -> None:
        """Do nothing."""


class Beside(threading.Thread):
    """Looks, on a connection and a thread of its own, until it is closed.

    Args:
        database: the target.
        name: whose it is, as application_name.
        pace: what is looked at.
        table: the table that is worked through, as SQL.
        probe: reads one row of it; None where it has none.
        ask: asks a check, and says why it does not pass, or nothing.
    """

    looks = True

    def __init__(
        self,
        database: Database,
        name: str,
        pace: Pace,
        table: str,
        probe: sql.Composed | None,
        ask: Callable[[Connection, str], str],
    ) -> None:
        super().__init__(name="gonogo beside a backfill", daemon=True)
        #: whether it says how calls are slowed
        self.probes = probe is not None
        self._database, self._name, self._pace, self._table, self._probe, self._ask = database, name, pace, table, probe, ask
        self._over, self._ready = threading.Event(), threading.Event()
        self._newest = Look()
        self._idle: float | None = None
        self._reads: deque[float] = deque(maxlen=_WINDOW)
        #: those beside which no batch ran
        self._quiet: deque[float] = deque(maxlen=_QUIET)
        #: how many batches began and ended: odd while one runs
        self._batches = 0
        #: whether the role may not see the archive's folder
        self._blind = False

    def look(self) -> Look:
        """Return what was seen last."""
        return self._newest

    def wait_for_first(self, seconds: float) -> None:
        """Wait until it knows how it was before the backfill, for some seconds at most."""
        self._ready.wait(seconds)

    def close(self) -> None:
        """End it."""
        self._over.set()
        if self.is_alive():
            self.join(timeout=10)

    def run(self) -> None:
        """Look again and again; where the connection is lost, make it again."""
        while not self._over.is_set():
            try:
                with self._database.connect(f"{self._name}/beside") as connection:
                    connection.prepare_threshold = 0
                    self._look_on(connection)
            except (psycopg.Error, Unreachable):
                # what is not seen stops nothing; the backfill itself finds a server that is away
                self._newest = Look(number=self._newest.number + 1, idle=self._idle)
                self._over.wait(1.0)
            finally:
                self._ready.set()

    def _look_on(self, connection: Connection) -> None:
        if self._idle is None and self._probe is not None:
            # at the same pace as later: a processor that was asked just before answers sooner
            while len(self._quiet) < _IDLE and not self._over.wait(_PROBES_EVERY):
                self._quiet.append(self._read(connection)[0])
            # the first ones fill the caches
            self._quiet = deque(list(self._quiet)[10:] or self._quiet, maxlen=_QUIET)
            self._idle = _percentile(self._quiet, PERCENT)
        due = clock.monotonic()
        while not self._over.wait(_PROBES_EVERY):
            if self._probe is not None:
                took, beside_a_batch = self._read(connection)
                self._reads.append(took)
                if not beside_a_batch:
                    # what the application does changes: how it is without the backfill is seen while that rests
                    self._quiet.append(took)
            if clock.monotonic() >= due:
                self._newest = self._seen(connection)
                self._ready.set()
                due = clock.monotonic() + (0.2 if self._cheap else self._pace.every.total_seconds())

    @property
    def _cheap(self) -> bool:
        return not self._pace.goes_on_if

    def _read(self, connection: Connection) -> tuple[float, bool]:
        """Make a call; return how long it took, and whether a batch ran meanwhile."""
        before, began = self._batches, clock.monotonic()
        connection.execute(self._probe or "SELECT 1").fetchone()
        return clock.monotonic() - began, bool(before % 2) or self._batches != before

    @contextmanager
    def working(self) -> Iterator[None]:
        """Note that a batch runs."""
        self._batches += 1
        try:
            yield
        finally:
            self._batches += 1

    def _seen(self, connection: Connection) -> Look:
        row: Sequence[Any] = connection.execute(_SEEN, [self._table]).fetchone() or (None, None, None)
        if self._probe is not None:
            self._idle = _percentile(self._quiet, PERCENT)
        failing = tuple(why for name in self._pace.goes_on_if if (why := self._ask(connection, name)))
        return Look(
            number=self._newest.number + 1,
            idle=self._idle,
            read=_percentile(self._reads, PERCENT) if len(self._reads) >= _WINDOW // 5 else None,
            lag=None if row[0] is None else float(row[0]),
            waiting=row[1],
            dead=row[2],
            archive=self._to_archive(connection),
            failing=failing,
        )

    def _to_archive(self, connection: Connection) -> int | None:
        if self._blind or self._pace.archive is None:
            return None
        try:
            row = connection.execute(_ARCHIVE.encode()).fetchone()
        except psycopg.errors.InsufficientPrivilege:
            self._blind = True
            return None
        return int(row[0]) if row else None


def _percentile(seconds: Iterable[float], percent: int) -> float:
    ordered = sorted(seconds)
    return ordered[max(0, -(-percent * len(ordered) // 100) - 1)]
