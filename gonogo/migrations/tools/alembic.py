"""Alembic: `alembic_version` holds the revision that the database is at; Alembic's own SQL says so (https://alembic.sqlalchemy.org)."""

from __future__ import annotations

from gonogo.migrations.changes import Change
from gonogo.migrations.tools.record import Record


def _written_already(_: Change, __: Change | None) -> str:
    return ""


RECORD = Record(
    tool="Alembic",
    table="alembic_version",
    key=lambda change: change.name,
    done="SELECT version_num::text FROM alembic_version",
    add=_written_already,
    drop=_written_already,
    newest_only=True,
)
