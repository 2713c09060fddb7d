"""Rows that the run is about to write again, and that somebody else wrote: noted before, for nobody sees it in them afterwards.

What a rollback destroys is told by who wrote a row last. Where a step writes a row again that the application wrote, that is the
run. So before such a script runs it is counted how many rows it may meet that somebody wrote since the run's first change, and
how many of them hold a value in each column. Where nobody but the run wrote anything since, nothing is counted.

What the text does not name, as in a DO block, a trigger or a view, is seen as it ran: the tables that it updated. How many rows
of others were among them is not known then.

What is not seen: what somebody writes between this look and the script.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import psycopg
from psycopg import sql

from gonogo.core.engine.events import WrittenOver
from gonogo.postgres.connection import Connection, find_ours_first, full_name, transaction
from gonogo.postgres.schemas import USERS_SCHEMAS
from gonogo.recovery.data_loss import UNKNOWN, written_by_others
from gonogo.sql.overwrites import may_overwrite, overwrites

#: the first event that noted what was there before, and how many transactions began since that are not the run's
_FIRST = (
    "SELECT seq, pg_catalog.split_part(body->>'since', ':', 1)::bigint, body->>'since' FROM gonogo.event"
    " WHERE run = %s AND kind IN ('script done', 'batch done') AND body->>'since' <> '' ORDER BY seq LIMIT 1"
)
_BY_OTHERS = """
SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint - %s > seq - %s + 1
FROM gonogo.run WHERE id = %s
"""
#: a table's parts hold its rows; each with its columns
_TABLES = """
SELECT c.oid::bigint, pg_catalog.format('%%I.%%I', n.nspname, c.relname),
  (SELECT pg_catalog.array_agg(a.attnum::int ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
  (SELECT pg_catalog.array_agg(a.attname::text ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM (
  WITH RECURSIVE part AS (
    SELECT pg_catalog.to_regclass(%s)::oid AS oid
    UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN part ON i.inhparent = part.oid)
  SELECT oid FROM part) p
JOIN pg_catalog.pg_class c USING (oid) JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' ORDER BY 1
"""
_NOTED = (
    "SELECT (body->>'step')::int, body->'over' FROM gonogo.event"
    " WHERE run = %s AND kind IN ('script done', 'batch done') AND body->'over' IS NOT NULL ORDER BY seq"
)
#: updated rows, or deleted some and inserted others
_WROTE_AGAIN = (
    "(pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) > 0 OR pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) > 0"
    " AND pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) > 0)"
)
#: the tables in which this transaction updated rows, or which it may have rewritten; also what this session updated just before,
#: where it has locked that table now
_UPDATED = f"""
SELECT c.oid::bigint, pg_catalog.format('%I.%I', n.nspname, c.relname),
  pg_catalog.bool_or({_WROTE_AGAIN})
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = -1
WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND l.granted AND c.relkind = 'r'
  AND c.relpersistence <> 't' AND {USERS_SCHEMAS}
  AND ({_WROTE_AGAIN} OR l.mode = 'AccessExclusiveLock'
    AND a.xmin::text <> (pg_catalog.pg_current_xact_id()::text::bigint & 4294967295)::text)
GROUP BY 1, 2 ORDER BY 1
"""
#: a table that was rewritten holds no row that another transaction wrote
_REWRITTEN = "SELECT xmin::text = (pg_catalog.pg_current_xact_id()::text::bigint & 4294967295)::text FROM ONLY {} LIMIT 1"
_LIMIT = "SET LOCAL row_security = off;SET LOCAL statement_timeout = '15s'"


class Batch(NamedTuple):
    """The rows that a batch works through: of which table, as SQL, and the condition on its alias `t`."""

    table: str
    where: sql.Composable
    #: its keys are of a type that somebody made
    own_types: bool


class Noted(NamedTuple):
    """What a step noted of others' rows that it wrote again."""

    step: int
    over: WrittenOver


class First(NamedTuple):
    """The first event of a run that noted what was there before it."""

    seq: int
    #: the transaction that was the oldest then
    oldest: int
    snapshot: str


class _Named(NamedTuple):
    """A table that a batch's text names."""

    oid: int
    table: str
    columns: Sequence[str]
    numbers: Sequence[int]
    #: whether it is the table that the backfill works through, or a part of it
    of_batch: bool


@dataclass
class OverNotes:
    """Notes, before the scripts of a run, what they may write again of what others wrote."""

    run: str
    #: the run's first change, and whether there may be one that is not known here
    _first: First | None = None
    _noted: bool = True
    #: whether somebody else may have written since
    _others: bool = False
    #: of a backfill, its table as text with what its batches name: they are the same for each of them
    _tables: dict[tuple[str, str], list[_Named]] = field(default_factory=dict)

    def before(self, connection: Connection, text: str, batch: Batch | None, *, notes: bool) -> tuple[WrittenOver, ...] | None:
        """Return what a script that is about to run may write again; None where nobody but the run wrote anything.

        Args:
            connection: where it is about to run, in no transaction.
            text: the script.
            batch: of a backfill, the rows that it works through now.
            notes: whether the script's own event notes what was there before it.
        """
        if self._first is None and self._noted:
            row = connection.execute(_FIRST, [self.run]).fetchone()
            self._first = First(int(row[0]), int(row[1]), str(row[2])) if row else None
        self._noted = self._first is not None or notes
        if self._first is None or not may_overwrite(text):
            return None
        if not self._others:
            row = connection.execute(_BY_OTHERS, [self._first.oldest, self._first.seq, self.run]).fetchone()
            self._others = row is None or bool(row[0])
        if not self._others:
            return None
        if batch is not None and not batch.own_types:
            return self._by_batch(connection, self._first, overwrites(text), batch)
        return _written_over(connection, self.run, self._first, overwrites(text), batch)

    def _by_batch(self, connection: Connection, first: First, names: Iterable[str], batch: Batch) -> tuple[WrittenOver, ...]:
        """Count the rows of a batch that somebody else than the run wrote, in one message: it comes before each of them."""
        found = []
        for name in names:
            if (batch.table, name) not in self._tables:
                self._tables[batch.table, name] = [
                    _Named(oid, table, columns, numbers, _is_of(connection, oid, batch.table))
                    for oid, table, numbers, columns in connection.execute(_TABLES, [full_name(connection, name)]).fetchall()
                ]
            for each in self._tables[batch.table, name]:
                empty = WrittenOver(table=each.oid, name=each.table, rows=UNKNOWN)
                # what is no part of the table would be read whole for each batch
                found.append(self._count_batch(connection, first, each, batch, empty) if each.of_batch else empty)
        return tuple(found)

    def _count_batch(self, connection: Connection, first: First, table: _Named, batch: Batch, empty: WrittenOver) -> WrittenOver:
        query = written_by_others(self.run, table.table, first.snapshot, _counts(table.columns)) + sql.SQL(" AND ") + batch.where
        message = sql.SQL("BEGIN READ ONLY;{};{};ROLLBACK").format(sql.SQL(_LIMIT), query)
        try:
            cursor = connection.execute(message)
            while cursor.description is None and cursor.nextset():
                pass
            row = cursor.fetchone()
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.QueryCanceled):
            connection.execute("ROLLBACK")
            return empty
        rows, *held = row or (0,)
        return empty.replace(rows=rows, columns={n: count for n, count in zip(table.numbers, held, strict=True) if count})


def _written_over(
    connection: Connection, run: str, first: First, names: Iterable[str], batch: Batch | None
) -> tuple[WrittenOver, ...]:
    """Count the rows of some tables that somebody else than the run wrote since its first change."""
    found: list[WrittenOver] = []
    with transaction(connection, read_only=True, keep=False):
        connection.execute(_LIMIT.encode())
        for name in names:
            for oid, table, numbers, columns in connection.execute(_TABLES, [full_name(connection, name)]).fetchall():
                found.append(_count(connection, run, first, WrittenOver(table=oid, name=table, rows=0), columns, numbers, batch))
    return tuple(found)


def all_written_over(connection: Connection, known: Iterable[WrittenOver]) -> tuple[WrittenOver, ...]:
    """Return what was known to be written again, and the other tables in which the open transaction wrote rows again.

    Of these it is not known how many were others'.
    """
    known = tuple(known)
    found = [each for each in known if each.rows]
    for oid, name, updated in connection.execute(_UPDATED.encode()).fetchall():
        if oid in {each.table for each in known}:
            continue
        row = None if updated else connection.execute(sql.SQL(_REWRITTEN).format(sql.SQL(name))).fetchone()
        if updated or (row is not None and row[0]):
            found.append(WrittenOver(table=oid, name=name, rows=UNKNOWN))
    return tuple(found)


def _count(
    connection: Connection,
    run: str,
    first: First,
    table: WrittenOver,
    names: Sequence[str],
    numbers: Iterable[int],
    batch: Batch | None,
) -> WrittenOver:
    if batch is not None and not _is_of(connection, table.table, batch.table):
        # it would be read whole for each batch
        return table.replace(rows=UNKNOWN)
    connection.execute("SAVEPOINT gonogo_over")
    query = written_by_others(run, table.name, first.snapshot, _counts(names))
    try:
        if batch and batch.own_types:
            find_ours_first(connection)
        row = connection.execute(query + (sql.SQL(" AND ") + batch.where if batch else sql.SQL(""))).fetchone()
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.QueryCanceled):
        return table.replace(rows=UNKNOWN)
    finally:
        connection.execute("ROLLBACK TO SAVEPOINT gonogo_over")
    rows, *held = row or (0,)
    return table.replace(rows=rows, columns={number: count for number, count in zip(numbers, held, strict=True) if count})


def _counts(columns: Iterable[str]) -> sql.Composable:
    """Count all rows, and those that hold a value in each column."""
    counts = [sql.SQL("pg_catalog.count(t.{})").format(sql.Identifier(each)) for each in columns]
    return sql.SQL(", ").join([sql.SQL("pg_catalog.count(*)"), *counts])


def _is_of(connection: Connection, oid: int, name: str) -> bool:
    return any(oid == int(row[0]) for row in connection.execute(_TABLES, [name]).fetchall())


def noted(connection: Connection, run: str) -> list[Noted]:
    """Return what the steps of a run noted."""
    rows = connection.execute(_NOTED, [run]).fetchall()
    return [Noted(int(step), WrittenOver.model_validate(over)) for step, overs in rows for over in overs]
