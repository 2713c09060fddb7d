"""Work through a table by key: each batch and its cursor commit together, so a crash costs at most one batch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from psycopg import sql

from gonogo.core.engine.events import BatchDone, Event, UndoBatchDone
from gonogo.core.plan.plan import PlannedStep
from gonogo.errors import ScriptFailed
from gonogo.postgres.connection import Connection, find_ours_first, full_name, transaction
from gonogo.postgres.own_types import BASE_TYPE, why_not_compared
from gonogo.recovery.written_over import Batch
from gonogo.run.session import Session

_MARK = re.compile(r"gonogo\.batch\('((?:[^']|'')*)'\)")
_UNCHANGED = re.compile(r"gonogo\.unchanged\('((?:[^']|'')*)'\)")
#: the newest batch that was not taken back, with the transaction that wrote it and the key that the one before ended with; those
#: before the step was undone once are not of this time
_BATCHES = """
SELECT b.seq, b.xmin::text, b.body->'upto', (
  SELECT p.body->'upto' FROM gonogo.event p
  WHERE p.run = b.run AND p.kind = 'batch done' AND p.seq < b.seq AND p.seq > %(since)s AND (p.body->>'step')::int = %(step)s
  ORDER BY p.seq DESC LIMIT 1)
FROM gonogo.event b
WHERE b.run = %(run)s AND b.kind = 'batch done' AND (b.body->>'step')::int = %(step)s AND b.seq > %(since)s
  AND (%(before)s = 0 OR b.seq < %(before)s)
ORDER BY b.seq DESC LIMIT 1
"""
#: asked once for an undo of many batches: each looks at every event of the run
_UNDOING = """
SELECT
  coalesce(pg_catalog.max(seq) FILTER (WHERE kind = 'backup restored' AND (body->>'step')::int <= %(step)s
    OR kind = 'undo done' AND (body->>'step')::int = %(step)s AND (body->>'last')::bool), 0),
  coalesce(pg_catalog.max(seq) FILTER (WHERE kind = 'batch done' AND (body->>'step')::int = %(step)s), 0),
  coalesce(pg_catalog.max(seq), 0)
FROM gonogo.event WHERE run = %(run)s
"""
_COLUMNS = f"""
SELECT a.attname, {BASE_TYPE}, a.attnotnull
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = pg_catalog.to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
"""
_PRIMARY_KEY = """
SELECT a.attname FROM pg_catalog.pg_index i
CROSS JOIN LATERAL pg_catalog.unnest(i.indkey) WITH ORDINALITY AS k(attnum, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = pg_catalog.to_regclass(%s) AND i.indisprimary ORDER BY k.place
"""


@dataclass(frozen=True, kw_only=True)
class Keyset:
    """A table and the columns to work through it by."""

    table: sql.Composable
    columns: tuple[str, ...]
    types: tuple[str, ...]
    #: rows at the start, by the planner's estimate
    estimate: int

    @property
    def own_types(self) -> bool:
        """Whether the key is of a type that somebody made: PostgreSQL's own are written without a schema."""
        return any("." in kind for kind in self.types)

    @contextmanager
    def comparable(self, connection: Connection) -> Iterator[None]:
        """Let keys of a type that somebody made be compared by the operators that lie beside it."""
        if not self.own_types:
            yield
            return
        with transaction(connection, keep=False):
            find_ours_first(connection)
            yield

    def row(self, alias: str = "") -> sql.Composable:
        """Write the key as a row, of a table alias where there is one."""
        prefix = (alias,) if alias else ()
        return sql.SQL("({})").format(sql.SQL(", ").join(sql.Identifier(*prefix, c) for c in self.columns))

    def values(self, key: Sequence[str]) -> sql.Composable:
        """Write one key's values as a row."""
        pairs = zip(key, self.types, strict=True)
        return sql.SQL("({})").format(sql.SQL(", ").join(sql.SQL("{}::{}").format(sql.Literal(v), sql.SQL(t)) for v, t in pairs))

    def between(self, after: Sequence[str] | None, upto: Sequence[str], alias: str) -> sql.Composable:
        """Write the condition that a row belongs to a batch."""
        upper = sql.SQL("{} <= {}").format(self.row(alias), self.values(upto))
        if after is None:
            return sql.SQL("({})").format(upper)
        return sql.SQL("({} > {} AND {})").format(self.row(alias), self.values(after), upper)


def keyset(connection: Connection, step: PlannedStep) -> Keyset:
    """Find out how to work through a step's table.

    Raises:
        ScriptFailed: there is no such table, or no key without NULLs.
    """
    if step.backfill is None:
        raise ScriptFailed(f"{step.name}: it names no table to work through")
    table = full_name(connection, step.backfill.table)
    found = {str(r[0]): (str(r[1]), bool(r[2])) for r in connection.execute(_COLUMNS, [table]).fetchall()}
    if not found:
        raise ScriptFailed(f"{step.name}: there is no table {step.backfill.table} to work through")
    columns = step.backfill.key or tuple(str(r[0]) for r in connection.execute(_PRIMARY_KEY, [table]).fetchall())
    if not columns:
        raise ScriptFailed(f"{step.name}: {table} has no primary key; name the columns to work by with `key:`")
    for column in columns:
        if column not in found:
            raise ScriptFailed(f"{step.name}: {table} has no column {column}; it has {', '.join(found)}")
        if not found[column][1]:
            raise ScriptFailed(f"{step.name}: {table}.{column} may be NULL, so a batch could miss rows; use another key")
    if why := why_not_compared(connection, table, columns):
        raise ScriptFailed(f"{step.name}: {why}; work by another key")
    return Keyset(
        table=sql.SQL(table),
        columns=columns,
        types=tuple(found[c][0] for c in columns),
        estimate=_estimate(connection, table),
    )


def _estimate(connection: Connection, table: str) -> int:
    """Return about how many rows a table has, by what the planner was told or, where nobody told it, by what it guesses."""
    known = "SELECT reltuples::bigint FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass(%s)"
    row = connection.execute(known, [table]).fetchone()
    if row and row[0] >= 0:
        return int(row[0])
    # one that was never analysed, or has partitions
    guess = connection.execute(sql.SQL("EXPLAIN (FORMAT JSON) SELECT FROM {}").format(sql.SQL(table))).fetchone()
    return int(guess[0][0]["Plan"]["Plan Rows"]) if guess else 0


def next_batch(
    connection: Connection, keys: Keyset, after: Sequence[str] | None, size: int
) -> tuple[int, tuple[str, ...]] | None:
    """Return how many rows the next batch has and the key it ends with, or None when nothing is left."""
    where = sql.SQL("WHERE {} > {}").format(keys.row(), keys.values(after)) if after is not None else sql.SQL("")
    columns = sql.SQL(", ").join(map(sql.Identifier, keys.columns))
    texts = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(c)) for c in keys.columns)
    newest = sql.SQL(", ").join(sql.SQL("batch.{} DESC").format(sql.Identifier(c)) for c in keys.columns)
    query = sql.SQL(
        "WITH batch AS (SELECT {columns} FROM {table} {where} ORDER BY {columns} LIMIT {size})"
        " SELECT (SELECT pg_catalog.count(*) FROM batch), {texts} FROM batch ORDER BY {newest} LIMIT 1"
    ).format(columns=columns, table=keys.table, where=where, size=sql.Literal(size), texts=texts, newest=newest)
    with keys.comparable(connection):
        row = connection.execute(query).fetchone()
    return None if row is None else (int(row[0]), tuple(str(v) for v in row[1:]))


def rematches_own_rows(connection: Connection, keys: Keyset, done: int, size: int) -> bool:
    """Say whether a backfill has done more than twice what the table holds: its batches then change their own key.

    Args:
        connection: where the rows are counted, only when the planner's estimate leaves a doubt.
        keys: the table.
        done: how many rows its batches took so far.
        size: how many rows a batch takes.
    """
    if done <= 2 * keys.estimate + 100 * size:
        return False
    row = connection.execute(sql.SQL("SELECT pg_catalog.count(*) FROM {}").format(keys.table)).fetchone()
    return done > 2 * (int(row[0]) if row else 0) + 100 * size


def fill_in(text: str, keys: Keyset, after: Sequence[str] | None, upto: Sequence[str]) -> str:
    """Put a batch's condition where the template marked it."""
    return _MARK.sub(lambda m: keys.between(after, upto, m.group(1).replace("''", "'")).as_string(None), text)


class Undoing(NamedTuple):
    """What is known as the batches of a step begin to be undone: where in the ledger they are, and what came after them."""

    #: batches are of this time from here on: before it they were undone once
    since: int
    #: the newest batch, and the newest event of all
    last: int
    head: int


def mark_unchanged(text: str, run: str, written_by: str, undoing: Undoing) -> str:
    """Say, where the undo of a batch marked it, that nobody but the run wrote a row since that batch.

    A later step of the run may have written it, and its undo: those are the run's own transactions, too.

    Args:
        text: the undo script.
        run: whose transactions are its own.
        written_by: the number of the transaction that wrote the batch.
        undoing: what came after the step's batches.
    """
    return _UNCHANGED.sub(lambda m: _unchanged(m.group(1).replace("''", "'"), run, written_by, undoing), text)


def _unchanged(alias: str, run: str, written_by: str, undoing: Undoing) -> str:
    column = sql.Identifier(alias, "xmin") if alias else sql.Identifier("xmin")
    return (
        sql.SQL(
            "({column} OPERATOR(pg_catalog.=) {own}::pg_catalog.xid OR {column} OPERATOR(pg_catalog.=) ANY ("
            "SELECT e.xmin FROM gonogo.event e WHERE e.run OPERATOR(pg_catalog.=) {run}"
            " AND e.seq OPERATOR(pg_catalog.>) {last}::pg_catalog.int8"
            " AND e.seq OPERATOR(pg_catalog.<=) {head}::pg_catalog.int8))"
        )
        .format(
            column=column,
            own=sql.Literal(written_by),
            run=sql.Literal(run),
            last=sql.Literal(undoing.last),
            head=sql.Literal(undoing.head),
        )
        .as_string(None)
    )


def probe(connection: Connection, keys: Keyset) -> sql.Composed | None:
    """Return a query that reads one row by its key and commits; None where there is none, or its type is somebody's own."""
    if keys.own_types:
        return None
    texts = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(c)) for c in keys.columns)
    # some way into it: the first rows may lie beside dead ones
    some = sql.SQL("SELECT {} FROM {} LIMIT 1 OFFSET {}").format(texts, keys.table, sql.Literal(min(100, keys.estimate // 2)))
    row = connection.execute(some).fetchone()
    if row is None:
        return None
    # with a transaction of its own to commit, as whoever writes has; it changes nothing
    asked = "SELECT pg_catalog.pg_current_xact_id() FROM {} WHERE {} = {}"
    return sql.SQL(asked).format(keys.table, keys.row(), keys.values([str(v) for v in row]))


@dataclass(kw_only=True)
class TableBatches:
    """A table that a backfill works through, on the runner's session."""

    session: Session
    step: PlannedStep
    keys: Keyset
    _undoing: Undoing | None = field(default=None, init=False)

    @property
    def estimate(self) -> int:
        """About how many rows it has; 0 where nobody knows."""
        return self.keys.estimate

    def run_next(self, number: int, after: Sequence[str] | None, body: BatchDone, size: int) -> Event | None:
        """Run the next batch together with its event; None when nothing is left."""
        found = next_batch(self.session.connection, self.keys, after, size)
        if found is None:
            return None
        rows, upto = found
        script = self.step.scripts[0]
        text = fill_in(self.session.texts[script.sha256], self.keys, after, upto)
        done = body.replace(upto=upto, rows=rows, batch=number)
        table, where = self.keys.table.as_string(None), self.keys.between(after, upto, "t")
        batch = Batch(table, where, self.keys.own_types)
        return self.session.run_script(self.step, script, done, text=text, batch=batch)

    def undo_next(self, before: int, body: UndoBatchDone) -> Event | None:
        """Take the newest batch back that is not, together with its event; None when nothing is left."""
        session = self.session
        if self._undoing is None:
            asked = {"run": session.run, "step": body.step}
            self._undoing = Undoing(*(session.connection.execute(_UNDOING, asked).fetchone() or (0, 0, 0)))
        undoing = self._undoing
        named = {"run": session.run, "step": body.step, "before": before, "since": undoing.since}
        found = session.connection.execute(_BATCHES, named).fetchone()
        if found is None:
            return None
        seq, written_by, upto, after = found
        script = (self.step.undo or ())[0]
        text = fill_in(session.texts[script.sha256], self.keys, after, upto)
        text = mark_unchanged(text, session.run, written_by, undoing)
        return session.run_script(self.step, script, body.replace(batch=seq), text=text, counts_rows=True)

    def vacuum(self) -> None:
        """Run VACUUM on the table."""
        self.session.vacuum(self.keys.table)

    def rematches_own_rows(self, done: int) -> bool:
        """Say whether more than twice the table was done."""
        return rematches_own_rows(self.session.connection, self.keys, done, _rows_of(self.step))


def _rows_of(step: PlannedStep) -> int:
    return step.backfill.batch if step.backfill else 1000
