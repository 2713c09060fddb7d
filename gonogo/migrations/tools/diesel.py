"""diesel: `__diesel_schema_migrations`, a row for each version (https://diesel.rs)."""

from __future__ import annotations

from gonogo.migrations.changes import Change
from gonogo.migrations.tools.record import row_each


def _version(change: Change) -> str:
    """Return what stands before the first `_` of the folder's name, without hyphens."""
    return change.name.split("_")[0].replace("-", "")


RECORD = row_each("diesel", "__diesel_schema_migrations", "version", _version)
