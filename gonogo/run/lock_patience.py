"""How a script waits for locks: briefly, so that nobody queues behind it for long, and again after a rest."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import psycopg

from gonogo import clock
from gonogo.core.model.runbook import SqlSettings
from gonogo.core.plan.plan import Script
from gonogo.postgres.lookout import Sighting
from gonogo.postgres.sqlstates import NO_LOCK

#: how many times as long as it waited it rests where others queue behind it, which costs them 5 % of the time; and the limits
#: of that, in seconds
_REST, _LEAST, _MOST = 20.0, 0.2, 30.0
#: the longest rest where nobody queues behind it, in seconds
_BRIEFLY = 2.0
_WRAPAROUND = "(to prevent wraparound)"


@dataclass(kw_only=True)
class LockWait:
    """What a script met while it was tried: one object for all its tries, also where something came between them."""

    script: Script
    settings: SqlSettings
    since: float = field(default_factory=clock.monotonic)
    #: until when it rests
    due: float = 0.0
    #: how often it was tried, and how often of that a lock stopped it
    tries: int = 0
    #: the seconds that the newest try lasted, and in which others were seen waiting in all of those that failed
    lasted: float = 0.0
    others_waited: float = 0.0
    #: what the newest try failed with, as PostgreSQL's five characters
    sqlstate: str = ""
    #: who was in the way then
    in_the_way: dict[int, str] = field(default_factory=dict)
    #: the sessions that were ended for it
    ended: tuple[str, ...] = ()

    @property
    def by_lock(self) -> bool:
        """Whether its newest try failed because of a lock."""
        return self.sqlstate == NO_LOCK

    @property
    def patience(self) -> timedelta | None:
        """How long it is tried in all; None where that goes by the number of tries."""
        return self.settings.patience if self.by_lock else None

    def failed(self, error: psycopg.Error, seen: Sighting) -> None:
        """Take in a try that failed."""
        if not self.tries:
            # its own work before that is no waiting
            self.since = clock.monotonic()
        self.tries += 1
        self.sqlstate = error.sqlstate or ""
        self.lasted = clock.monotonic() - seen.since
        self.others_waited += seen.others_waited
        self.in_the_way = dict(seen.in_the_way) or (self.in_the_way if self.by_lock else {})

    @property
    def over(self) -> bool:
        """Whether it is not tried again."""
        return self.tries >= self.settings.tries if self.patience is None else self.waited >= self.patience

    @property
    def waited(self) -> timedelta:
        """How long it has been tried."""
        return timedelta(seconds=clock.monotonic() - self.since)

    def rest(self) -> float:
        """Return the seconds until the next try; not all at the same pace, as several runs may wait for one lock."""
        if self.patience and self.script.queues_others:
            rest = max(_LEAST, min(_MOST, self.lasted * _REST)) * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
            return min(rest, *self._moments())
        return random.uniform(0.0, min(_BRIEFLY, 0.05 * 2.0 ** min(self.tries, 10)))  # noqa: S311 - no secret

    def _moments(self) -> tuple[float, ...]:
        """Return the seconds until something comes of waiting: those in the way are asked, or it is given up."""
        asked = self.settings.ask_blockers
        until = [each - self.waited for each in (asked and asked.after, self.patience) if each]
        return tuple(max(_LEAST, each.total_seconds()) for each in until if each.total_seconds() > 0) or (_MOST,)

    @property
    def who(self) -> str:
        """Who is in the way, for people; nothing where nobody was seen."""
        who = "; ".join(self.in_the_way.values())
        hint = ". An autovacuum that prevents wraparound does not give way: wait for it" if _WRAPAROUND in who else ""
        return f", in the way: {who}{hint}" if who else ""

    @property
    def says(self) -> str:
        """What keeps it, for people."""
        return f"waits for a lock{self.who}" if self.by_lock else self.sqlstate or "no answer"

    def until(self, now: datetime) -> str:
        """Say how often, or until when, it is tried again."""
        if self.patience is not None:
            return f"until {now + self.patience - self.waited:%H:%M:%S} UTC"
        return f"{self.tries + 1} of {self.settings.tries}"
