"""The rows that somebody wrote since: kept in a temporary table before an undo runs, and compared with what is there after it.

A row that a later step of the run wrote again is kept, too, where that step met rows that others wrote. Of such a row only that
may be somebody's which the step noted: so many rows, with values in these columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from gonogo.core.engine.events import WrittenOver
from gonogo.postgres.connection import Connection, name_of
from gonogo.postgres.own_types import BASE_TYPE, why_not_compared
from gonogo.recovery.data_loss import OF_THE_RUN, UNKNOWN, WROTE
from gonogo.recovery.written_over import Noted

#: a table's columns that hold what was written into them, by number, with the types beneath their domains; with the value that
#: nobody wrote, where a constant is that
_COLUMNS = f"""
SELECT a.attnum, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), {BASE_TYPE},
  CASE WHEN a.atthasmissing THEN (a.attmissingval::text::text[])[1] END,
  CASE WHEN e.text ~ $re$^('([^'\\\\]|'')*'|-?[0-9.]+|true|false)(::[a-z0-9_ ."()\\[\\],]+)*$$re$
    THEN pg_catalog.substring(e.text, $re$^('(?:[^'\\\\]|'')*'|-?[0-9.]+|true|false)$re$) END
FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
CROSS JOIN LATERAL (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS text) e
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum
"""
_KEY = """
SELECT a.attnum FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid
  AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
WHERE i.indrelid = %s AND i.indisprimary ORDER BY a.attnum
"""
_NOTE = f"""
CREATE TEMPORARY TABLE {{stake}} ON COMMIT DROP AS
SELECT pg_catalog.to_jsonb(t.*) AS old, ({WROTE})::text::xid8 AS wrote, false AS lost, {{by}} AS by FROM ONLY {{table}} AS t
 CROSS JOIN (SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint AS id) AS next {{of_the_run}}
WHERE t.xmin::text::bigint > 2
  AND NOT pg_catalog.pg_visible_in_snapshot(({WROTE})::text::xid8, {{since}}::pg_catalog.pg_snapshot) AND {{whose}}
"""
#: what is nobody's but the run's is left out; or kept with the step that wrote it, where that step wrote rows of others again
_ALONE = {"by": "NULL::int", "of_the_run": "", "whose": f"NOT {OF_THE_RUN}"}
_AGAIN = {
    "by": "e.step",
    "of_the_run": """LEFT JOIN (SELECT e.xmin AS id, pg_catalog.max((e.body->>'step')::int) AS step FROM gonogo.event e
 WHERE e.run = {run} GROUP BY e.xmin) e ON e.id = t.xmin""",
    "whose": "(e.id IS NULL OR e.step > {first})",
}


#: the rows that somebody else wrote last
_OTHERS = sql.SQL("s.by IS NULL")
_ALL = sql.SQL("true")


#: whether this transaction wrote a row that is none of those that were noted
_NEW_KEY = """
SELECT EXISTS (SELECT FROM ONLY {table} AS x
  WHERE x.xmin::text = (pg_catalog.pg_current_xact_id()::text::bigint & 4294967295)::text
  AND NOT EXISTS (SELECT FROM {stake} AS s WHERE {same}))
"""


class CannotFollow(Exception):
    """What became of some rows cannot be told."""


class _Column(NamedTuple):
    number: int
    name: str
    type: str
    #: what it holds where nobody wrote it
    unwritten: frozenset[str]


@dataclass(kw_only=True)
class Stake:
    """The rows of one table that somebody wrote since, kept in a temporary table."""

    oid: int
    name: str
    #: how many; -1 where the role may not read them
    count: int = 0
    #: how many more of its rows the run wrote again; and what its steps noted of others' rows as they did
    again: int = 0
    noted: Sequence[Noted] = ()
    columns: Sequence[_Column] = ()
    key: Sequence[int] = ()
    #: the columns that are gone, and of which it was counted what they held
    judged: set[int] = field(default_factory=set)
    #: of a table without a key: how many of them were gone when they were last compared
    away: int = 0

    @property
    def kept_in(self) -> sql.Identifier:
        """The temporary table."""
        return sql.Identifier("pg_temp", f"gonogo_at_stake_{self.oid}")

    @property
    def is_empty(self) -> bool:
        """Whether nothing of it is known to be at stake."""
        return not self.count and not self.again


class _Now(NamedTuple):
    """A table as a script left it."""

    table: sql.Composable
    #: the columns that are left, each as it was and as it is
    common: Sequence[tuple[_Column, _Column]]
    #: the columns that are gone since
    gone: Sequence[_Column]


def note(
    connection: Connection, run: str, tables: Mapping[int, str], since: str, first: int, noted: Sequence[Noted] = ()
) -> list[Stake]:
    """Note the rows of some tables, in which nobody else can write now, that somebody wrote since.

    Args:
        connection: in a transaction.
        run: the run whose own rows do not count.
        tables: their names, by number.
        since: a snapshot of just before the first step that is reversed.
        first: that step.
        noted: what the steps of the run noted of others' rows that they wrote again.

    Raises:
        CannotFollow: a value of one cannot be read without running what somebody else wrote.
    """
    stakes = []
    for oid, name in tables.items():
        stake = Stake(oid=oid, name=name, noted=[n for n in noted if n.step > first and n.over.table == oid])
        stakes.append(stake)
        if why := why_not_compared(connection, name):
            raise CannotFollow(why)
        # what the role may not read must not end the transaction
        connection.execute("SAVEPOINT gonogo_note")
        try:
            values = {"run": sql.Literal(run), "first": sql.Literal(first)}
            whose = {part: sql.SQL(text).format(**values) for part, text in (_AGAIN if stake.noted else _ALONE).items()}
            parts = {"stake": stake.kept_in, "table": sql.SQL(name), "since": sql.Literal(since), **whose}
            kept = connection.execute(sql.SQL(_NOTE).format(**parts)).rowcount
        except psycopg.errors.InsufficientPrivilege:
            connection.execute("ROLLBACK TO SAVEPOINT gonogo_note")
            stake.count, kept = UNKNOWN, 0
        connection.execute("RELEASE SAVEPOINT gonogo_note")
        if kept > 0:
            # how many they are is all that a plan needs to know; what they hold takes long to look at
            connection.execute(sql.SQL("ANALYZE {} (by)").format(stake.kept_in))
            query = sql.SQL("SELECT pg_catalog.count(*) FROM {} WHERE by IS NOT NULL").format(stake.kept_in)
            stake.again = _number(connection.execute(query).fetchone()) if stake.noted else 0
            stake.count = kept - stake.again
            stake.columns = [_column(connection, *row) for row in connection.execute(_COLUMNS.encode(), [oid]).fetchall()]
            stake.key = [int(row[0]) for row in connection.execute(_KEY.encode(), [oid]).fetchall()]
    return stakes


def _column(
    connection: Connection, number: int, name: str, kind: str, base: str, missing: str | None, constant: str | None
) -> _Column:
    unwritten = []
    literals = [None if missing is None else sql.Literal(missing), None if constant is None else sql.SQL(constant)]
    for literal in filter(None, literals):
        value = sql.SQL("({}::").format(literal) + sql.SQL(base) + sql.SQL(")")
        # as it reads in a row
        row = connection.execute(sql.SQL("SELECT pg_catalog.to_jsonb(") + value + sql.SQL(") #>> '{}'")).fetchone()
        unwritten += [] if row is None or row[0] is None else [str(row[0])]
    return _Column(number, name, kind, frozenset(unwritten))


def lost(connection: Connection, stake: Stake, since: str, step: int, *, touched: bool = True, last: bool = False) -> int:
    """Return how many of the noted rows a script destroyed, of those that none destroyed before it.

    Args:
        connection: in the transaction in which it ran.
        stake: the rows.
        since: a snapshot of just before the step that it reverses.
        step: that step.
        touched: whether the script touched the table.
        last: whether no other script comes after it.
    """
    if stake.count < 0:
        return stake.count
    if stake.is_empty or not touched:
        return 0
    now = _now(connection, stake)
    others = _lost_of_others(connection, stake, now, since) if stake.count else 0
    return others + (_lost_again(connection, stake, now, since, step, last=last) if stake.again else 0)


def _now(connection: Connection, stake: Stake) -> _Now | None:
    """Return a table as it is now; None where it is gone."""
    name = name_of(connection, stake.oid)
    if name is None:
        return None
    columns = connection.execute(_COLUMNS.encode(), [stake.oid]).fetchall()
    there = {int(number): _Column(int(number), name, kind, frozenset()) for number, name, kind, *_ in columns}
    named = {column.name: column for column in there.values()}
    # a column is the same by its number, so that renaming loses nothing; else by its name, as where it was copied to a new one
    successors = [(was, there.get(was.number) or named.get(was.name)) for was in stake.columns]
    common = [(was, to) for was, to in successors if to is not None]
    return _Now(sql.SQL(name), common, [was for was, to in successors if to is None])


def _lost_of_others(connection: Connection, stake: Stake, now: _Now | None, since: str) -> int:
    """Return how many rows that somebody else wrote last are destroyed."""
    if now is None:
        return _mark(connection, stake, _OTHERS)
    # a column that is gone is judged by the script that it went with
    bad = [_held_a_value(was, since) for was in now.gone if was.number not in stake.judged]
    stake.judged |= {was.number for was in now.gone}
    if _has_key(stake, now):
        # each by itself: together they would ask for every row in turn
        emptied = sum(_mark(connection, stake, _OTHERS, condition) for condition in bad)
        return emptied + _mark(connection, stake, _OTHERS, _by_key(stake, now.table, now.common))
    return _without_key(connection, stake, now.table, now.common, bad)


def _lost_again(connection: Connection, stake: Stake, now: _Now | None, since: str, step: int, *, last: bool) -> int:
    """Return how many rows that later steps wrote again are destroyed, at most as many as others had written of them."""
    found, most = 0, 0.0
    # what was written again at that step may have been so at a later one, too; each batch of a backfill noted its own rows
    for by in dict.fromkeys(noted.step for noted in stake.noted if noted.step > step):
        overs = [noted.over for noted in stake.noted if noted.step == by]
        found += _gone_again(connection, stake, now, since, sql.SQL("s.by >= {}").format(sql.Literal(by)), overs)
        most += sum(over.rows if over.rows >= 0 else math.inf for over in overs)
    if now is not None and not last and _has_key(stake, now):
        _take_over(connection, stake, now, step)
    return int(min(found, most))


def _gone_again(
    connection: Connection, stake: Stake, now: _Now | None, since: str, rows: sql.Composable, overs: Sequence[WrittenOver]
) -> int:
    """Return how many rows are destroyed of those that a step wrote again, as far as they may be somebody's."""
    if now is None or not _has_key(stake, now):
        # they are gone; or nobody can tell such a row from another one
        return _mark(connection, stake, rows)
    unknown = any(over.rows < 0 for over in overs)
    theirs = {was.number for was in stake.columns} if unknown else {number for over in overs for number in over.columns}
    emptied = sum(_mark(connection, stake, rows, _held_a_value(was, since)) for was in now.gone if was.number in theirs)
    kept = [(was, to) for was, to in now.common if was.number in theirs or was.number in stake.key]
    return emptied + _mark(connection, stake, rows, _by_key(stake, now.table, kept))


def _take_over(connection: Connection, stake: Stake, now: _Now, step: int) -> None:
    """Let the rows that a step itself wrote be what its undo made of them: that is what it is for."""
    mine, same = sql.SQL("s.by = {}").format(sql.Literal(step)), _same_key(stake, now.common)
    parts = {"stake": stake.kept_in, "table": now.table, "mine": mine, "same": same}
    gone = sql.SQL("DELETE FROM {stake} AS s WHERE {mine} AND NOT EXISTS (SELECT FROM ONLY {table} AS x WHERE {same})")
    if connection.execute(gone.format(**parts)).rowcount:
        # it deleted them, as it should; or gave them another key, and nobody can follow them
        row = connection.execute(sql.SQL(_NEW_KEY).format(**parts)).fetchone()
        if row is not None and row[0]:
            raise CannotFollow(f"it changes the key of rows of {stake.name} that were written again")
    became = sql.SQL("UPDATE {stake} AS s SET old = s.old || {now} FROM ONLY {table} AS x WHERE {mine} AND {same}")
    connection.execute(became.format(**parts, now=_as_it_was(now.common)))


def _as_it_was(common: Sequence[tuple[_Column, _Column]]) -> sql.Composable:
    """Write what a row holds now, under the names that its columns had."""
    pairs = [sql.SQL("{}, x.{}").format(sql.Literal(was.name), sql.Identifier(to.name)) for was, to in common]
    # a function takes a hundred arguments at most
    some = [sql.SQL(", ").join(pairs[at : at + 50]) for at in range(0, len(pairs), 50)]
    return sql.SQL(" || ").join(sql.SQL("pg_catalog.jsonb_build_object({})").format(each) for each in some)


def _has_key(stake: Stake, now: _Now) -> bool:
    """Say whether a row can be told by a key that the table had and has."""
    return bool(stake.key) and set(stake.key) <= {was.number for was, _ in now.common}


def _held_a_value(column: _Column, since: str) -> sql.Composable:
    """Write the condition that a row held a value in a column that is gone, which somebody may have written there."""
    parts = [sql.SQL("s.old->>{} IS NOT NULL").format(sql.Literal(column.name))]
    parts += [sql.SQL("s.old->>{} <> {}").format(sql.Literal(column.name), sql.Literal(value)) for value in column.unwritten]
    # what a row held in it that was written before the step, only the step can have given it
    parts.append(sql.SQL("NOT pg_catalog.pg_visible_in_snapshot(s.wrote, {}::pg_catalog.pg_snapshot)").format(sql.Literal(since)))
    return sql.SQL("({})").format(sql.SQL(" AND ").join(parts))


def _same_key(stake: Stake, common: Sequence[tuple[_Column, _Column]]) -> sql.Composable:
    """Write the condition that a row of the table is a noted one, by its key."""
    on: list[sql.Composable] = []
    for was, to in common:
        if was.number in stake.key:
            # by the index where the type is what it was, and PostgreSQL's own; a value that no longer fits must not fail
            same = was.type == to.type and "." not in was.type
            how = sql.SQL("x.{} = (s.old->>{})::" if same else "x.{}::text = s.old->>{}")
            on.append(how.format(sql.Identifier(to.name), sql.Literal(was.name)) + sql.SQL(was.type if same else ""))
    return sql.SQL(" AND ").join(on)


def _by_key(stake: Stake, table: sql.Composable, common: Sequence[tuple[_Column, _Column]]) -> sql.Composable:
    """Write the condition that a row is gone, or not what it was, where the table has a key."""
    # as jsonb 1.50 is 1.5, and as text 1 is '1': what is the same either way is no loss. Column by column: whole rows take longer
    value = "pg_catalog.to_jsonb(x.{1})"
    differs = (
        f"(s.old->{{0}} IS DISTINCT FROM coalesce({value}, 'null') AND s.old->>{{0}} IS DISTINCT FROM {value} #>> '{{{{}}}}')"
    )
    other = [sql.SQL(differs).format(sql.Literal(was.name), sql.Identifier(to.name)) for was, to in common]
    return sql.SQL("NOT EXISTS (SELECT FROM ONLY {table} AS x WHERE {on} AND NOT ({other}))").format(
        table=table, on=_same_key(stake, common), other=sql.SQL(" OR ").join(other)
    )


def _mark(connection: Connection, stake: Stake, whose: sql.Composable, condition: sql.Composable = _ALL) -> int:
    """Mark the noted rows for which a condition holds as lost, and return how many they are."""
    query = sql.SQL("UPDATE {} AS s SET lost = true WHERE NOT s.lost AND {} AND ({})").format(stake.kept_in, whose, condition)
    return connection.execute(query).rowcount


def _without_key(
    connection: Connection,
    stake: Stake,
    table: sql.Composable,
    common: Sequence[tuple[_Column, _Column]],
    bad: Sequence[sql.Composable],
) -> int:
    """Return how many of the noted rows are gone of a table without a key: there, rows that read the same are the same."""
    was, now = (sql.SQL(", ").join(sql.SQL("r->>{}").format(sql.Literal(pair[side].name)) for pair in common) for side in (0, 1))
    query = sql.SQL(
        "SELECT pg_catalog.count(*) FROM (SELECT {was} FROM (SELECT old AS r FROM {stake} WHERE by IS NULL) a"
        " EXCEPT ALL SELECT {now} FROM (SELECT pg_catalog.to_jsonb(x.*) AS r FROM ONLY {table} AS x) b) d"
    ).format(was=was, now=now, stake=stake.kept_in, table=table)
    row = connection.execute(query).fetchone() if common else (stake.count,)
    emptied = 0
    if bad:
        count = sql.SQL("SELECT pg_catalog.count(*) FROM {} AS s WHERE s.by IS NULL AND ({})").format(
            stake.kept_in, sql.SQL(" OR ").join(bad)
        )
        emptied = _number(connection.execute(count).fetchone())
    away, stake.away = max(_number(row), emptied) - stake.away, max(_number(row), emptied, stake.away)
    return max(away, 0)


def _number(row: tuple[Any, ...] | None) -> int:
    return int(row[0]) if row else 0
