"""golang-migrate: `schema_migrations` holds the newest version only (https://github.com/golang-migrate/migrate)."""

from __future__ import annotations

from gonogo.migrations.changes import Change
from gonogo.migrations.tools.record import Record, number

_TABLE = "schema_migrations"


def _stands_at(change: Change | None) -> str:
    row = f"; INSERT INTO {_TABLE} (version, dirty) VALUES ({number(change)}, false)" if change else ""
    return f"DELETE FROM {_TABLE}{row}"


RECORD = Record(
    tool="golang-migrate",
    table=_TABLE,
    key=number,
    # one that failed half way is dirty: nothing goes on from there
    done=f"SELECT version::text || CASE WHEN dirty THEN ' (dirty)' ELSE '' END FROM {_TABLE}",
    add=lambda change, _: _stands_at(change),
    drop=lambda _, before: _stands_at(before),
    newest_only=True,
)
