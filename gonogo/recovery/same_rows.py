"""Whether a copy that something else made holds what the target held then, while the target's rows go on changing.

What the target held when the restore point was taken is known by a snapshot of just before: a row that it shows, and that is
still there afterwards, was there in between. A table in which nobody changed or deleted a row meanwhile must have the same
checksum; of the others the rows that are still there are looked up one by one, and of those too large for that some of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import psycopg
from psycopg import sql

from gonogo.core.engine.events import SampledTable
from gonogo.core.model.restore_points import Sample
from gonogo.errors import StepError
from gonogo.postgres.checksum import checksum, row_hash
from gonogo.postgres.connection import Connection, full_name
from gonogo.postgres.tools import Say
from gonogo.recovery.data_loss import NEXT, NOT_SHOWN

#: how many of the sampled rows are the last ones by their key: what was written shortly before
_NEWEST = 10
#: how many times as many rows are drawn as are asked for: pages are not equally full
_MORE = 4
#: how many rows are looked up at most of a table that is not too large, where somebody wrote to it and where nobody did
_WRITTEN, _QUIET = 100_000, 1_000_000
#: a table that belongs to an extension is compared like any other: the copy is one of the whole database
TABLES = """
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), pg_catalog.pg_relation_size(c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'gonogo')
ORDER BY 1
"""
_KEY = """
SELECT pg_catalog.array_agg(a.attname::text ORDER BY k.place)
FROM pg_catalog.pg_index i CROSS JOIN LATERAL pg_catalog.unnest(i.indkey) WITH ORDINALITY AS k(attnum, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE i.indrelid = pg_catalog.to_regclass(%s) AND i.indisprimary
HAVING pg_catalog.bool_and(t.oid < 16384)
"""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What was seen of the rows of a copy."""

    #: rows and checksum, on the copy, of each table that was compared whole
    whole: dict[str, str]
    sampled: tuple[SampledTable, ...]
    #: what is wrong, a line each
    wrong: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Held:
    """What the rows of the target were just before."""

    #: the snapshot that shows them
    snapshot: str
    #: rows and checksum of each table that is not too large for that
    tables: dict[str, str]

    @classmethod
    def of(cls, connection: Connection, rule: Sample, say: Say) -> Held:
        """Look at the target, in a transaction of one snapshot."""
        row = connection.execute("SELECT pg_catalog.pg_current_snapshot()::text").fetchone()
        small = [str(name) for name, size in connection.execute(TABLES).fetchall() if size <= rule.whole_up_to * 2**20]
        held = {}
        for number, name in enumerate(small, 1):
            say(f"reading {name} ({number} of {len(small)})")
            held[name] = checksum(connection, name)
        return cls(snapshot=str(row[0] if row else ""), tables=held)


def compare(target: Connection, copy: Connection, held: Held, rule: Sample, say: Say) -> Compared:
    """Compare the rows of a copy with those that the target had.

    Args:
        target: the target, in a transaction of one snapshot that began after the restore point was taken.
        copy: the copy, at the restore point.
        held: what the target held just before it was taken.
        rule: how much is compared row by row.
        say: where its progress is told.
    """
    whole: dict[str, str] = {}
    sampled: list[SampledTable] = []
    wrong: list[str] = []
    tables = target.execute(TABLES).fetchall()
    for number, (name, _) in enumerate(tables, 1):
        say(f"comparing {name} ({number} of {len(tables)})")
        table = _Table(target, copy, name, held)
        try:
            if (same := table.same()) is not None:
                whole[name] = same
                continue
            found = table.look(rule.rows)
        except StepError as error:
            wrong.append(f"{name}: {error}")
            continue
        except psycopg.Error as error:
            wrong.append(f"{name}: {str(error).strip()}")
            continue
        if isinstance(found, str):
            wrong.append(found)
        else:
            sampled.append(found)
    return Compared(whole=whole, sampled=tuple(sampled), wrong=tuple(wrong))


def _shown(snapshot: str) -> sql.Composable:
    """Write that only the rows of a table count, as `t`, that a snapshot shows."""
    return sql.SQL(f"CROSS JOIN {NEXT} WHERE NOT ({NOT_SHOWN})").format(since=sql.Literal(snapshot))


@dataclass
class _Table:
    """A table, in the target and in the copy."""

    target: Connection
    copy: Connection
    table: str
    held: Held
    #: whether the rows that the target had are all still there, as they were
    _quiet: bool = False

    def same(self) -> str | None:
        """Return the rows and checksum of the copy, where they are those that the target had; None where some changed meanwhile.

        Raises:
            StepError: nobody wrote to the table, and the copy has other rows.
        """
        then = self.held.tables.get(self.table)
        if then is None:
            return None
        there = checksum(self.copy, self.table)
        now = checksum(self.target, self.table)
        if there in (then, now):
            return there
        if now == then:
            raise StepError(f"it has {there} instead of {then} (rows:checksum), and nobody wrote to it meanwhile")
        self._quiet = checksum(self.target, self.table, where=_shown(self.held.snapshot)) == then
        return None

    @cached_property
    def rows(self) -> int:
        """About how many rows it has: as counted just before, or as the planner guesses."""
        if (known := self.held.tables.get(self.table)) is not None:
            return int(known.partition(":")[0])
        guess = self.target.execute(sql.SQL("EXPLAIN (FORMAT JSON) SELECT FROM {}").format(sql.SQL(self.table))).fetchone()
        return int(guess[0][0]["Plan"]["Plan Rows"]) if guess else 0

    def look(self, most: int) -> SampledTable | str:
        """Look rows up in the copy; return how many, or what is wrong."""
        if self.table in self.held.tables:
            most = max(most, _QUIET if self._quiet else _WRITTEN)
        shown = self.held.snapshot
        row = self.target.execute(_KEY, [self.table]).fetchone()
        key = [str(each) for each in row[0]] if row and row[0] else []
        drawn = self._drawn(shown, most, key)
        missing = len(drawn) - (self._found_by_key(drawn, key) if key else self._found_by_hash([each[0] for each in drawn]))
        if missing:
            lacks = f"{missing:,} of {len(drawn):,} rows that it had are not in the copy, or have other values there"
            return f"{self.table}: {lacks}"
        return SampledTable(table=self.table, compared=len(drawn), rows=max(self.rows, len(drawn)))

    def _drawn(self, shown: str, most: int, key: Sequence[str]) -> list[tuple[str, ...]]:
        """Draw rows that the snapshot shows: their hash, and their key where they have one."""
        columns = sql.SQL(", ").join([row_hash(self.target, self.table), *(_text("t", each) for each in key)])
        name = sql.SQL(full_name(self.target, self.table))
        part = min(100.0, 100.0 * _MORE * most / max(1, self.rows))
        # by chance also of what was drawn: a limit alone would keep the beginning of the file
        some = sql.SQL("SELECT {} FROM {} AS t TABLESAMPLE SYSTEM ({}) {} ORDER BY pg_catalog.random() LIMIT {}")
        query = some.format(columns, name, sql.Literal(part), _shown(shown), sql.Literal(most))
        rows = self.target.execute(query).fetchall()
        if key:
            newest = sql.SQL(", ").join(sql.SQL("t.{} DESC").format(sql.Identifier(each)) for each in key)
            last = sql.SQL("SELECT {} FROM {} AS t {} ORDER BY {} LIMIT {}")
            query = last.format(columns, name, _shown(shown), newest, sql.Literal(_NEWEST))
            rows += self.target.execute(query).fetchall()
        found = [tuple(map(str, each)) for each in rows]
        # by its key a row is looked up once; without one, of equal rows there must be as many
        return list(dict.fromkeys(found)) if key else found

    def _found_by_key(self, drawn: Sequence[tuple[str, ...]], key: Sequence[str]) -> int:
        """Return how many rows the copy has with the same key and the same values."""
        name = sql.SQL(full_name(self.copy, self.table))
        types = self.copy.execute(
            "SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod) FROM pg_catalog.pg_attribute a"
            " WHERE a.attrelid = pg_catalog.to_regclass(%s)",
            [full_name(self.copy, self.table)],
        ).fetchall()
        kinds = {str(column): str(kind) for column, kind in types}
        same = [sql.SQL("t.{0} = w.{0}::{1}").format(sql.Identifier(each), sql.SQL(kinds.get(each, "text"))) for each in key]
        wanted = sql.SQL(", ").join(map(sql.Identifier, ("gonogo hash", *key)))
        columns = [list(each) for each in zip(*drawn, strict=True)] if drawn else [list[str]()] * (1 + len(key))
        # no parameters: a name may hold a %
        lists = sql.SQL(", ").join(sql.SQL("pg_catalog.unnest({}::text[])").format(sql.Literal(each)) for each in columns)
        query = sql.SQL(
            "SELECT pg_catalog.count(*) FROM ROWS FROM ({lists}) AS w({wanted})"
            " JOIN {table} AS t ON {same} WHERE {hash}::text = w.{first}"
        ).format(
            lists=lists,
            wanted=wanted,
            table=name,
            same=sql.SQL(" AND ").join(same),
            hash=row_hash(self.copy, self.table),
            first=sql.Identifier("gonogo hash"),
        )
        found = self.copy.execute(query).fetchone()
        return int(found[0]) if found else 0

    def _found_by_hash(self, drawn: Sequence[str]) -> int:
        """Return how many rows the copy has with the same values: without a key, all of it is read for them."""
        wanted = Counter(drawn)
        query = sql.SQL(
            "SELECT ({hash})::text, pg_catalog.count(*) FROM {table} AS t WHERE {hash} = ANY ({wanted}::bigint[]) GROUP BY 1"
        ).format(
            hash=row_hash(self.copy, self.table),
            table=sql.SQL(full_name(self.copy, self.table)),
            wanted=sql.Literal(list(map(int, wanted))),
        )
        return sum(min(count, wanted[value]) for value, count in self.copy.execute(query).fetchall())


def _text(alias: str, column: str) -> sql.Composable:
    return sql.SQL("{}::text").format(sql.Identifier(alias, column))


__all__ = ["Compared", "compare"]
