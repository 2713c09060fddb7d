"""The few events of a run that say where it stands: of a long one, status and resume read these alone."""

from __future__ import annotations

from gonogo.core.engine.events import BatchDone, Event
from gonogo.ledger.store import event_of, fetch
from gonogo.postgres.connection import Connection

#: a sample changes nothing but when something was last heard, which counts at the end and for whoever takes over; of the scripts,
#: and of the batches, that a step did in a row, the first and the last say where it stands, with the rows of those between
_STATE_EVENTS = """
WITH entry AS (
  SELECT seq, kind, at, began, actor, body, lead(kind) OVER (ORDER BY seq) AS following FROM gonogo.event WHERE run = %s
), heard AS (
  SELECT seq, kind, at, began, actor, body,
    CASE WHEN kind IN ('script done', 'batch done') AND body->>'down' IS DISTINCT FROM 'locked out'
      AND body->>'others_waited' IS NULL THEN kind || (body->>'step') END AS step,
    CASE WHEN kind = 'batch done' THEN (body->>'rows')::bigint ELSE 0 END AS rows,
    CASE WHEN kind = 'batch done' THEN max((body->>'of')::bigint) OVER (PARTITION BY kind, body->>'step' ORDER BY seq) END AS of
  FROM entry WHERE kind <> 'sample' OR following IS NULL OR following = 'taken over'
), neighbour AS (
  SELECT *, lag(step) OVER (ORDER BY seq) AS former, lead(step) OVER (ORDER BY seq) AS next,
    sum(rows) OVER (ORDER BY seq) AS total
  FROM heard
)
SELECT seq, kind, at, began, actor, body,
  CASE WHEN kind = 'batch done' THEN (total - coalesce(lag(total) OVER (PARTITION BY kind ORDER BY seq), 0))::bigint END, of
FROM neighbour
WHERE step IS NULL OR former IS DISTINCT FROM step OR next IS DISTINCT FROM step ORDER BY seq
"""


def read_state(connection: Connection, run: str) -> list[Event]:
    """Return the events of a run that say where it stands and how long its tasks took.

    Of the scripts, or the batches, that one step did in a row, the first and the last do: ten thousand become two. The last batch
    has the rows of all since the first.
    """
    return [_with_rows(event_of(row[:6]), *row[6:]) for row in fetch(connection, _STATE_EVENTS, [run])]


def _with_rows(event: Event, rows: int | None, of: int | None) -> Event:
    if rows is None or not isinstance(event.body, BatchDone):
        return event
    body = event.body.replace(rows=rows, of=of or 0)
    return Event(seq=event.seq, at=event.at, began=event.began, actor=event.actor, body=body)
