"""What time it is on the server: what a run waits for, and what its deadlines mean, is reckoned by no other clock."""

from __future__ import annotations

from datetime import datetime, timedelta

import psycopg

from gonogo import clock
from gonogo.postgres.connection import Connection

#: the seconds after which it is asked again: either clock may be set meanwhile
_FRESH = 30.0
#: how far apart two clocks may be before somebody is told
TOLERATED = timedelta(seconds=2)


def server_time(connection: Connection) -> datetime:
    """Return the server's time, as an aware datetime in UTC."""
    row = connection.execute("SELECT pg_catalog.clock_timestamp()").fetchone()
    return row[0] if row and isinstance(row[0], datetime) else clock.now()


class ServerClock:
    """The server's time, asked now and then and reckoned on from there by a clock that nobody sets."""

    def __init__(self) -> None:
        self._then: datetime | None = None
        self._asked = 0.0

    def now(self, connection: Connection) -> datetime:
        """Return the time; where the server does not answer, as it was reckoned last."""
        elapsed = clock.monotonic() - self._asked
        if self._then is None or elapsed > _FRESH:
            try:
                self._then, self._asked = server_time(connection), clock.monotonic()
            except psycopg.Error:
                if self._then is None:
                    raise
            elapsed = clock.monotonic() - self._asked
        return self._then + timedelta(seconds=elapsed)


def say_skew(now: datetime) -> str:
    """Say how far this machine's clock is from a server's time, where that is worth a word."""
    skew = clock.now() - now
    if abs(skew) <= TOLERATED:
        return ""
    direction = "ahead of" if skew > timedelta(0) else "behind"
    by = f"{abs(skew).total_seconds():,.0f} s"
    return f"this machine's clock is {by} {direction} the target's; waits, windows and deadlines follow the target's"
