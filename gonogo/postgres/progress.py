"""How far the statement is that a run is executing now, by what PostgreSQL itself says of it (pg_stat_progress_*).

CREATE INDEX, VACUUM, ANALYZE, CLUSTER, VACUUM FULL and COPY tell; of any other statement only its age is known.
https://www.postgresql.org/docs/current/progress-reporting.html
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from gonogo.core.model.duration import say_duration
from gonogo.postgres.connection import Connection

#: what is younger is not worth a word
_YOUNG = timedelta(seconds=1)
#: of the backend that holds the fence for a run: since when its statement runs, and what each view says of it
_STATEMENT = """
SELECT pg_catalog.clock_timestamp() - a.query_start, p.command, p.phase, p.done, p.total, p.unit
FROM gonogo.fence f
JOIN pg_catalog.pg_stat_activity a ON a.pid = f.pid AND a.backend_start = f.backend_start
LEFT JOIN (
  SELECT pid, command, phase, CASE WHEN blocks_total > 0 THEN blocks_done ELSE tuples_done END AS done,
    CASE WHEN blocks_total > 0 THEN blocks_total ELSE tuples_total END AS total,
    CASE WHEN blocks_total > 0 THEN 'blocks' ELSE 'rows' END AS unit FROM pg_catalog.pg_stat_progress_create_index
  UNION ALL SELECT pid, 'VACUUM', phase, heap_blks_scanned, heap_blks_total, 'blocks' FROM pg_catalog.pg_stat_progress_vacuum
  UNION ALL SELECT pid, 'ANALYZE', phase, sample_blks_scanned, sample_blks_total, 'blocks'
  FROM pg_catalog.pg_stat_progress_analyze
  UNION ALL SELECT pid, command, phase, heap_blks_scanned, heap_blks_total, 'blocks' FROM pg_catalog.pg_stat_progress_cluster
  UNION ALL SELECT pid, command, '', bytes_processed, bytes_total, 'bytes' FROM pg_catalog.pg_stat_progress_copy
) p ON p.pid = a.pid
WHERE f.id = 1 AND f.run = %s AND a.state = 'active' LIMIT 1
"""


@dataclass(frozen=True, kw_only=True)
class StatementProgress:
    """How far a statement is."""

    #: for how long it has run
    running_for: timedelta
    #: what it is, and which part of it is under way; empty where PostgreSQL does not tell
    command: str = ""
    part: str = ""
    #: how much of that part is done, of how much, and in what
    done: int = 0
    total: int = 0
    unit: str = ""

    @property
    def share(self) -> float | None:
        """How much of the part that is under way is done, from 0 to 1; None where nobody knows."""
        return min(self.done / self.total, 1.0) if self.total else None

    @property
    def says(self) -> str:
        """It in words: `CREATE INDEX: building index: scanning table, 43 % (1,203 of 2,801 blocks), for 2m`."""
        notes = [": ".join(filter(None, (self.command, self.part)))] if self.command else ["a statement runs"]
        if self.share is not None:
            notes.append(f"{self.share:.0%} ({self.done:,} of {self.total:,} {self.unit})".replace("%", " %", 1))
        elif self.done:
            notes.append(f"{self.done:,} {self.unit}")
        return f"{', '.join(notes)}, for {say_duration(self.running_for)}"


def statement_progress(connection: Connection, run: str) -> StatementProgress | None:
    """Return how far the statement is that a run is executing; None where none has run for a second.

    Args:
        connection: another one than the run's own.
        run: the run.
    """
    row = connection.execute(_STATEMENT, [run]).fetchone()
    if row is None or row[0] is None or row[0] < _YOUNG:
        return None
    age, command, part, done, total, unit = row
    return StatementProgress(
        running_for=age,
        command=str(command or ""),
        part=str(part or ""),
        done=int(done or 0),
        total=int(total or 0),
        unit=str(unit or ""),
    )
