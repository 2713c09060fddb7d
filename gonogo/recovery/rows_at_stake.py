"""The rows that somebody wrote since: kept in a temporary table before an undo runs, and compared with what is there after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from gonogo.postgres.connection import Connection
from gonogo.recovery.data_loss import OF_THE_RUN, UNKNOWN, WROTE

#: a table's columns that hold what was written into them, by number; with the value that nobody wrote, where a constant is that
_COLUMNS = """
SELECT a.attnum, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod),
  CASE WHEN a.atthasmissing THEN (a.attmissingval::text::text[])[1] END,
  CASE WHEN e.text ~ $re$^('([^'\\\\]|'')*'|-?[0-9.]+|true|false)(::[a-z0-9_ ."()\\[\\],]+)*$$re$ THEN e.text END
FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
CROSS JOIN LATERAL (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS text) e
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum
"""
_KEY = """
SELECT a.attnum FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
WHERE i.indrelid = %s AND i.indisprimary ORDER BY a.attnum
"""
_NOTE = f"""
CREATE TEMPORARY TABLE {{stake}} ON COMMIT DROP AS
SELECT pg_catalog.to_jsonb(t.*) AS old, ({WROTE})::text::xid8 AS wrote, false AS lost FROM ONLY {{table}} AS t,
 (SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint AS id) AS next
WHERE t.xmin::text::bigint > 2
  AND NOT pg_catalog.pg_visible_in_snapshot(({WROTE})::text::xid8, {{since}}::pg_catalog.pg_snapshot) AND NOT {OF_THE_RUN}
"""


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


def note(connection: Connection, run: str, tables: Mapping[int, str], since: str) -> list[Stake]:
    """Note the rows of some tables, in which nobody else can write now, that somebody wrote since."""
    stakes = []
    for oid, name in tables.items():
        stake = Stake(oid=oid, name=name)
        stakes.append(stake)
        # what the role may not read must not end the transaction
        connection.execute("SAVEPOINT gonogo_note")
        try:
            parts = {"stake": stake.kept_in, "table": sql.SQL(name), "since": sql.Literal(since), "run": sql.Literal(run)}
            stake.count = connection.execute(sql.SQL(_NOTE).format(**parts)).rowcount
        except psycopg.errors.InsufficientPrivilege:
            connection.execute("ROLLBACK TO SAVEPOINT gonogo_note")
            stake.count = UNKNOWN
        connection.execute("RELEASE SAVEPOINT gonogo_note")
        if stake.count > 0:
            connection.execute(sql.SQL("ANALYZE {}").format(stake.kept_in))
            stake.columns = [_column(connection, *row) for row in connection.execute(_COLUMNS.encode(), [oid]).fetchall()]
            stake.key = [int(row[0]) for row in connection.execute(_KEY.encode(), [oid]).fetchall()]
    return stakes


def _column(connection: Connection, number: int, name: str, kind: str, missing: str | None, constant: str | None) -> _Column:
    unwritten = []
    given = [] if missing is None else [sql.SQL("({}::").format(sql.Literal(missing)) + sql.SQL(kind) + sql.SQL(")")]
    given += [] if constant is None else [sql.SQL("(") + sql.SQL(constant) + sql.SQL(")")]
    for value in given:
        # as it reads in a row
        row = connection.execute(sql.SQL("SELECT pg_catalog.to_jsonb(") + value + sql.SQL(") #>> '{}'")).fetchone()
        unwritten += [] if row is None or row[0] is None else [str(row[0])]
    return _Column(number, name, kind, frozenset(unwritten))


def lost(connection: Connection, stake: Stake, since: str) -> int:
    """Return how many of the noted rows a script destroyed, of those that none destroyed before it."""
    if stake.count <= 0:
        return stake.count
    row = connection.execute(
        "SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname) FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s",
        [stake.oid],
    ).fetchone()
    if row is None:
        return _mark(connection, stake, sql.SQL("true"))
    columns = connection.execute(_COLUMNS.encode(), [stake.oid]).fetchall()
    now = {int(number): _Column(int(number), name, kind, frozenset()) for number, name, kind, *_ in columns}
    named = {column.name: column for column in now.values()}
    # a column is the same by its number, so that renaming loses nothing; else by its name, as where it was copied to a new one
    successors = [(was, now.get(was.number) or named.get(was.name)) for was in stake.columns]
    # a column that is gone is judged by the script that it went with
    bad = [_held_a_value(was, since) for was, to in successors if to is None and was.number not in stake.judged]
    stake.judged |= {was.number for was, to in successors if to is None}
    common = [(was, to) for was, to in successors if to is not None]
    if stake.key and set(stake.key) <= {was.number for was, _ in common}:
        # each by itself: together they would ask for every row in turn
        emptied = sum(_mark(connection, stake, condition) for condition in bad)
        return emptied + _mark(connection, stake, _by_key(stake, sql.SQL(str(row[0])), common))
    return _without_key(connection, stake, sql.SQL(str(row[0])), common, bad)


def _held_a_value(column: _Column, since: str) -> sql.Composable:
    """Write the condition that a row held a value in a column that is gone, which somebody may have written there."""
    parts = [sql.SQL("s.old->>{} IS NOT NULL").format(sql.Literal(column.name))]
    parts += [sql.SQL("s.old->>{} <> {}").format(sql.Literal(column.name), sql.Literal(value)) for value in column.unwritten]
    # what a row held in it that was written before the step, only the step can have given it
    parts.append(sql.SQL("NOT pg_catalog.pg_visible_in_snapshot(s.wrote, {}::pg_catalog.pg_snapshot)").format(sql.Literal(since)))
    return sql.SQL("({})").format(sql.SQL(" AND ").join(parts))


def _by_key(stake: Stake, table: sql.SQL, common: Sequence[tuple[_Column, _Column]]) -> sql.Composable:
    """Write the condition that a row is gone, or not what it was, where the table has a key."""
    on: list[sql.Composable] = []
    for was, to in common:
        if was.number in stake.key:
            # by the index where the type is what it was; a value that no longer fits must not fail
            same = was.type == to.type
            how = sql.SQL("x.{} = (s.old->>{})::" if same else "x.{}::text = s.old->>{}")
            on.append(how.format(sql.Identifier(to.name), sql.Literal(was.name)) + sql.SQL(was.type if same else ""))
    # as jsonb 1.50 is 1.5, and as text 1 is '1': what is the same either way is no loss
    differs = "(s.old->{0} IS DISTINCT FROM n.r->{1} AND s.old->>{0} IS DISTINCT FROM n.r->>{1})"
    other = [sql.SQL(differs).format(sql.Literal(was.name), sql.Literal(to.name)) for was, to in common]
    return sql.SQL(
        "NOT EXISTS (SELECT FROM ONLY {table} AS x CROSS JOIN LATERAL (SELECT pg_catalog.to_jsonb(x.*) AS r) n"
        " WHERE {on} AND NOT ({other}))"
    ).format(table=table, on=sql.SQL(" AND ").join(on), other=sql.SQL(" OR ").join(other))


def _mark(connection: Connection, stake: Stake, condition: sql.Composable) -> int:
    """Mark the noted rows for which a condition holds as lost, and return how many they are."""
    query = sql.SQL("UPDATE {} AS s SET lost = true WHERE NOT s.lost AND ({})").format(stake.kept_in, condition)
    return connection.execute(query).rowcount


def _without_key(
    connection: Connection,
    stake: Stake,
    table: sql.SQL,
    common: Sequence[tuple[_Column, _Column]],
    bad: Sequence[sql.Composable],
) -> int:
    """Return how many of the noted rows are gone of a table without a key: there, rows that read the same are the same."""
    was, now = (sql.SQL(", ").join(sql.SQL("r->>{}").format(sql.Literal(pair[side].name)) for pair in common) for side in (0, 1))
    query = sql.SQL(
        "SELECT pg_catalog.count(*) FROM (SELECT {was} FROM (SELECT old AS r FROM {stake}) a"
        " EXCEPT ALL SELECT {now} FROM (SELECT pg_catalog.to_jsonb(x.*) AS r FROM ONLY {table} AS x) b) d"
    ).format(was=was, now=now, stake=stake.kept_in, table=table)
    row = connection.execute(query).fetchone() if common else (stake.count,)
    emptied = 0
    if bad:
        count = sql.SQL("SELECT pg_catalog.count(*) FROM {} AS s WHERE {}").format(stake.kept_in, sql.SQL(" OR ").join(bad))
        emptied = _number(connection.execute(count).fetchone())
    away, stake.away = max(_number(row), emptied) - stake.away, max(_number(row), emptied, stake.away)
    return max(away, 0)


def _number(row: tuple[Any, ...] | None) -> int:
    return int(row[0]) if row else 0
