"""Taking stock: all that a database holds at a moment, so that a rollback can be seen to lead back to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gonogo.core.plan.fingerprint import Fingerprint, differences
from gonogo.errors import StepError
from gonogo.postgres.checksum import checksum, sequence_positions
from gonogo.postgres.connection import Connection
from gonogo.postgres.fingerprint import fingerprint
from gonogo.postgres.schemas import USERS_SCHEMAS

_COLUMNS = f"""
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname),
  pg_catalog.array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attnum > 0)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE (c.relkind = 'r' OR (c.relkind = 'm' AND c.relispopulated))
  AND {USERS_SCHEMAS}
GROUP BY 1 ORDER BY 1
"""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What a database held: its schema object by object, its rows by checksum, and the order of its columns."""

    schema: Fingerprint
    rows: Mapping[str, str]
    columns: Mapping[str, tuple[str, ...]]
    #: how far each sequence is; ahead of where it was does no harm
    sequences: Mapping[str, int]
    large_objects: int

    @property
    def size(self) -> int:
        """How many rows it held."""
        return sum(int(said.split(":", 1)[0]) for said in self.rows.values())


def take_snapshot(connection: Connection) -> Snapshot:
    """Return all that a database holds."""
    columns = _columns(connection)
    rows = {table: checksum(connection, table, names) for table, names in columns.items()}
    return Snapshot(
        schema=fingerprint(connection),
        rows=rows,
        columns=columns,
        sequences=sequence_positions(connection),
        large_objects=_large_objects(connection),
    )


def _large_objects(connection: Connection) -> int:
    row = connection.execute("SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata").fetchone()
    return int(row[0]) if row else 0


def snapshot_differences(before: Snapshot, after: Snapshot) -> list[str]:
    """Return what differs between two stocks."""
    notes = _schema_differences(before.schema, after.schema)
    both = before.rows.keys() & after.rows.keys()
    changed = [
        table
        for table in sorted(both)
        if before.columns[table] == after.columns[table] and before.rows[table] != after.rows[table]
    ]
    return notes + [f"the rows of {table} {_rows(before.rows[table], after.rows[table])}" for table in changed]


def _schema_differences(before: Fingerprint, after: Fingerprint) -> list[str]:
    """Return what differs between two schemas, and of what the server's databases share: on a copy, nobody else changes that."""
    return differences(before.objects, after.objects) + [
        f"{note} (all databases of the server share it)" for note in differences(before.shared, after.shared)
    ]


def compare_snapshot(before: Snapshot, connection: Connection) -> tuple[list[str], list[str]]:
    """Return what differs from before, and the tables whose columns only stand in another order.

    Rows are compared over the columns that there were: a column that stayed behind is told once, not for every row.
    """
    now = _columns(connection)
    now_schema = fingerprint(connection)
    notes = _schema_differences(before.schema, now_schema)
    for table, said in before.rows.items():
        if table not in now:
            continue  # its absence is told already
        try:
            found = checksum(connection, table, before.columns[table])
        except StepError as error:
            notes.append(f"the rows of {table} cannot be compared: {error}")
            continue
        if found != said:
            notes.append(f"the rows of {table} {_rows(said, found)}")
    at = sequence_positions(connection)
    notes += [
        f"the sequence {name} was at {before.sequences[name]} and is back at {at.get(name, 'its start')}"
        for name in before.sequences.keys() & _sequences(now_schema.objects)
        if at.get(name, 0) < before.sequences[name]
    ]
    if (objects := _large_objects(connection)) != before.large_objects:
        notes.append(f"there were {before.large_objects} large objects, and there are {objects}")
    misplaced = [
        f"the columns of {table} are in another order: {', '.join(now[table])}"
        for table, names in before.columns.items()
        if table in now and now[table] != names and sorted(now[table]) == sorted(names)
    ]
    return notes, misplaced


def _sequences(schema: Mapping[str, str]) -> set[str]:
    return {name.removeprefix("sequence ") for name in schema if name.startswith("sequence ")}


def _rows(before: str, now: str) -> str:
    was, is_ = (said.split(":", 1)[0] for said in (before, now))
    return f"were {was} and are {is_}" if was != is_ else f"are {was} as before, but not the same"


def _columns(connection: Connection) -> dict[str, tuple[str, ...]]:
    return {str(name): tuple(columns or ()) for name, columns in connection.execute(_COLUMNS).fetchall()}
