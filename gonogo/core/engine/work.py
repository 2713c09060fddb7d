"""How far the step in work is, and its backfill: how much of the table is done, and at what pace."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, kw_only=True)
class WorkState:
    """The step in work, counted over the whole plan: every step before it is done."""

    step: int = 0
    #: how many scripts of it are done
    script: int = 0
    #: the last key that its backfill has done, and how many rows
    cursor: tuple[str, ...] | None = None
    rows: int = 0
    #: about how many rows its table has; its rows per second since its process began, and as of when
    of: int = 0
    pace: float = 0.0
    paced_at: datetime | None = None
    #: what people said of its pace: how many times as fast, how many rows a second at most (0: any), and who paused it
    speed: float = 1.0
    most_rows: int = 0
    paused: str = ""
    #: why it does not go on now, though nobody holds the run
    stopped: str = ""
    #: its script that is in doubt
    started: int | None = None
    #: a script of it failed and may have left something
    left: bool = False
    #: the event by which what is under way began; and that of an attempt in doubt, while it may be made again
    attempt: int = 0
    in_doubt_seq: int = 0

    @property
    def begun(self) -> bool:
        """Whether anything of the step was done, or may have been."""
        return self.script > 0 or self.cursor is not None or self.left

    @property
    def filled(self) -> float:
        """How much of its backfill is done, from 0 to 1: by rows, where anybody knows how many there are."""
        return min(self.rows / self.of, 0.99) if self.of and self.cursor is not None else 0.0

    @property
    def filled_by(self) -> datetime | None:
        """When its backfill will be done at its pace; None where it has none."""
        if self.paced_at is None or not self.pace or not self.of:
            return None
        return self.paced_at + timedelta(seconds=min(max(0, self.of - self.rows) / self.pace, 1e9))
