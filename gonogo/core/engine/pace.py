"""How fast a backfill goes: how large a batch is, how long it rests after it, and when it stops until things are better.

It knows what was seen beside it and how long its batches took, and nothing else; who looks is `gonogo/run/beside.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gonogo.core.engine.work import WorkState
from gonogo.core.model.duration import say_duration
from gonogo.core.model.step import Pace

#: of the time, how much it works at first, at least and at most
_FIRST, _LEAST, _MOST = 0.3, 0.05, 1.0
#: which percentile of the calls beside it is held
PERCENT = 95
#: what a look does to that share that finds them slowed too much, and one that does not
_SLOWER, _FASTER = 0.8, 1.1
#: how much slower a call may seem by chance, in seconds
_NOISE = 0.0001
#: the smallest batch, and the first one, as a share of the largest: below that a batch takes its time for the commit and not for
#: its rows, and is only more often
_SMALLEST = 0.1
#: the longest rest between two batches, in seconds
_LONGEST_REST = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen beside a backfill."""

    #: its number; the same one is not acted upon twice
    number: int = 0
    #: the 95th percentile of small calls, in seconds: of those beside which no batch ran, and of all the newest ones
    idle: float | None = None
    read: float | None = None
    #: how far the slowest standby is behind, in seconds
    lag: float | None = None
    #: the WAL files that wait to be archived
    archive: int | None = None
    #: the sessions of this database that wait for locks
    waiting: int | None = None
    #: dead rows as a share of all rows of the table
    dead: float | None = None
    #: the checks that must pass and do not, with why
    failing: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Pacer:
    """Finds the pace of one backfill."""

    pace: Pace
    #: rows a batch takes at most
    most: int
    #: whether calls are timed beside it: without them nothing says that it should rest
    probed: bool = True
    size: int = 0
    share: float = field(default=_FIRST, init=False)
    _seen: int = field(default=-1, init=False)

    def __post_init__(self) -> None:
        self.size = self.least if self.pace.mode == "guarded" else self.most
        self.share = _FIRST if self.probed else _MOST

    @property
    def least(self) -> int:
        """Rows a batch takes at least, where there are so many left."""
        return max(1, round(self.most * _SMALLEST))

    @property
    def allowed(self) -> float:
        """How many times as long as before reading a row may take."""
        return 1 + percent(self.pace.slows_others)

    def took(self, rows: int, seconds: float) -> None:
        """Take in how long a batch of so many rows took: where its rows are locked for too long, the next one is smaller."""
        if self.pace.mode != "guarded" or not rows or rows < self.size:
            return
        fits = self.pace.batch_takes.total_seconds() / max(seconds, 1e-6)
        self.size = round(max(self.least, min(self.most, self.size * min(1.5, max(0.5, fits)))))

    def look(self, look: Look, work: WorkState) -> None:
        """Take in what was seen."""
        if self.pace.mode != "guarded" or look.number == self._seen:
            return
        self._seen = look.number
        if look.idle is None or look.read is None:
            return
        # who asked it to go faster takes more of a slowdown for it
        allowed = look.idle * (1 + (self.allowed - 1) * max(1.0, work.speed)) + _NOISE
        self.share = max(_LEAST, min(_MOST, self.share * (_SLOWER if look.read > allowed else _FASTER)))

    def rest(self, rows: int, seconds: float, work: WorkState) -> float:
        """Return how long it rests after a batch, in seconds.

        Args:
            rows: how many it took.
            seconds: how long that was.
            work: what people said of its pace.
        """
        mode, rest = self.pace.mode, 0.0
        if mode == "fixed":
            rest = self.pace.rest.total_seconds()
        elif mode == "guarded":
            rest = seconds * (1 / self.share - 1)
        if work.speed < 1:
            rest = (rest + seconds) / work.speed - seconds
        if work.most_rows:
            rest = max(rest, rows / work.most_rows - seconds)
        return min(rest, _LONGEST_REST)

    def why_stopped(self, look: Look, work: WorkState) -> str:
        """Say why no batch may begin now, or nothing."""
        if work.paused:
            return f"{work.paused} paused it"
        if self.pace.mode == "flat out":
            return ""
        pace, reasons = self.pace, []
        if pace.lag is not None and look.lag is not None and look.lag > pace.lag.total_seconds():
            reasons.append(f"a standby is {say_duration(look.lag)} behind, more than {say_duration(pace.lag)}")
        if pace.archive is not None and look.archive is not None and look.archive > pace.archive:
            reasons.append(f"{look.archive} WAL files wait to be archived, more than {pace.archive}")
        if pace.waiting is not None and look.waiting is not None and look.waiting > pace.waiting:
            reasons.append(f"{look.waiting} sessions wait for locks, more than {pace.waiting}")
        return "; ".join((*reasons, *look.failing))

    def wants_vacuum(self, look: Look) -> bool:
        """Say whether so many rows are dead that the table is vacuumed before it goes on."""
        return self.pace.vacuum_at is not None and look.dead is not None and look.dead > percent(self.pace.vacuum_at)


def percent(text: str) -> float:
    """Return a share that is written in percent."""
    return float(text.strip("+%")) / 100
