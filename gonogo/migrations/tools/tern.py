"""tern: `schema_version` holds the number of the newest change (https://github.com/jackc/tern)."""

from __future__ import annotations

from gonogo.migrations.changes import Change
from gonogo.migrations.tools.record import Record, number

_TABLE = "public.schema_version"


def _stands_at(change: Change | None) -> str:
    return f"UPDATE {_TABLE} SET version = {number(change) if change else 0}"


RECORD = Record(
    tool="tern",
    table=_TABLE,
    key=number,
    done=f"SELECT version::text FROM {_TABLE} WHERE version > 0",
    add=lambda change, _: _stands_at(change),
    drop=lambda _, before: _stands_at(before),
    newest_only=True,
)
