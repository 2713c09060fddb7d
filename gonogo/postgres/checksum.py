"""Rows: how many a table has, and their checksum, whatever their order; and how far sequences are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg import sql

from gonogo.errors import StepError
from gonogo.postgres.connection import Connection, find, full_name
from gonogo.postgres.own_types import why_not_read

# How each column goes into the hash of its row. Only a type whose equal values are written alike may be hashed as it is, and
# int8 and its kin not even then: their hash folds 64 bits to 32. What has a binary form of its own goes by that, which tells
# 1.0 from 1.00 and one day from 24 hours; what is numbered again in every database (enums, composites, regclass) by its text.
_COLUMNS = """
SELECT a.attname, CASE
  WHEN t.oid >= 16384 OR t.typtype <> 'b' OR t.typelem >= 16384 OR t.typname ~ '^_?reg' OR t.typsend = 0
    OR (SELECT e.typsend = 0 FROM pg_catalog.pg_type e WHERE e.oid = t.typelem)
    THEN 'ROW({})::text COLLATE "C"'
  WHEN t.typname IN ('bool', 'int2', 'int4', 'oid', 'date', 'uuid', 'bytea', 'char') THEN '{}'
  WHEN t.typname IN ('text', 'varchar', 'name') THEN '{} COLLATE "C"'
  ELSE format('%%s({})', t.typsend) END
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = pg_catalog.to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attname
"""


def sequence_positions(connection: Connection) -> dict[str, int]:
    """Return the last value that each sequence handed out; one that never did is left out."""
    rows = connection.execute(
        "SELECT format('%I.%I', schemaname, sequencename), last_value FROM pg_catalog.pg_sequences"
        " WHERE schemaname <> 'gonogo' AND last_value IS NOT NULL"
    ).fetchall()
    return {str(name): int(value) for name, value in rows}


def count_rows(connection: Connection, table: str) -> int:
    """Return how many rows a table has."""
    row = connection.execute(sql.SQL("SELECT pg_catalog.count(*) FROM {}").format(sql.SQL(_name(connection, table)))).fetchone()
    return int(row[0]) if row else 0


def checksum(connection: Connection, table: str, columns: Sequence[str] = (), where: sql.Composable | None = None) -> str:
    """Return a table's row count and checksum, which do not depend on the order of its rows.

    A row's hash is made of its values' hashes (hash_record_extended) and mixed once more, so that a value that was swapped
    between two rows is noticed, which a sum of hashes of values would not. What equality calls the same and is not, such as
    1.0 and 1.00, one day and 24 hours, or NULL and nothing, is told apart.

    Args:
        connection: where.
        table: the table, with its schema where that is not public.
        columns: the columns to look at; all of them without any.
        where: which rows of the table, as `t`, count, with what else it selects from before that; all of them without it.

    Raises:
        StepError: there is no such table or column.
    """
    name = _name(connection, table)
    some = where or sql.SQL("")
    found = dict(_columns(connection, name))
    if missing := [c for c in columns if c not in found]:
        raise StepError(f"{table} has no column {missing[0]}")
    chosen = sorted(columns) or list(found)
    if not chosen:
        query = sql.SQL("SELECT pg_catalog.count(*)::text FROM {} AS t {}").format(sql.SQL(name), some)
    else:
        query = sql.SQL(
            "SELECT pg_catalog.count(*)::text || ':' || coalesce(sum(pg_catalog.hashint4extended(0, {}))::text, '0')"
            " FROM {} AS t {}"
        ).format(_hash(found, chosen), sql.SQL(name), some)
    row = connection.execute(query).fetchone()
    return str(row[0]) if row else ""


def _hash(known: Mapping[str, str], columns: Sequence[str]) -> sql.Composable:
    values = [sql.SQL(known[column]).format(sql.Identifier("t", column)) for column in columns]
    return sql.SQL("pg_catalog.hash_record_extended(ROW({}), 0)").format(sql.SQL(", ").join(values))


def row_hash(connection: Connection, table: str) -> sql.Composable:
    """Return what computes the hash of a row of a table, as `t`: that of all its values.

    Raises:
        StepError: there is no such table.
    """
    found = dict(_columns(connection, _name(connection, table)))
    return _hash(found, list(found)) if found else sql.SQL("0::bigint")


def columns_of(connection: Connection, table: str) -> list[str]:
    """Return the names of a table's columns, sorted."""
    return [name for name, _ in _columns(connection, full_name(connection, table))]


def _columns(connection: Connection, table: str) -> list[tuple[str, str]]:
    """Return each column of a table, sorted, with how it goes into the hash of its row."""
    return [(str(name), str(how)) for name, how in connection.execute(_COLUMNS, [table]).fetchall()]


def _name(connection: Connection, table: str) -> str:
    """Return a table's name as the server quotes it."""
    found = find(connection, table)
    if found is None:
        raise StepError(f"there is no table {table}")
    if why := why_not_read(connection, found):
        raise StepError(f"{why}; name the table, or ask with a query of your own")
    return found
