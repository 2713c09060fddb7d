"""Flyway: `flyway_schema_history`, a row for each script, with the CRC-32 of its lines.

https://documentation.red-gate.com/flyway/flyway-concepts/migrations/flyway-schema-history-table
"""

from __future__ import annotations

import re
import zlib

from gonogo.migrations.changes import Change, text_of
from gonogo.migrations.tools.record import Record, file_of, literal

_TABLE = "flyway_schema_history"


def _version(change: Change) -> str:
    """Return a change's version; a repeatable one has none."""
    known = re.fullmatch(r"V(\d[\d._]*)__.+", change.name)
    return known[1].replace("_", ".") if known else ""


def _key(change: Change) -> str:
    return _version(change) or change.path


def _checksum(change: Change) -> int:
    """Return the sum over a file's lines without their ends, as a signed number of 32 bits."""
    lines = re.split(r"\r\n|\r|\n", text_of(file_of(change)))
    found = 0
    # what follows the last line's end is no line
    for line in lines if lines[-1] else lines[:-1]:
        found = zlib.crc32(line.encode(), found)
    return found - 2**32 if found >= 2**31 else found


def _add(change: Change, _: Change | None) -> str:
    version = _version(change)
    described = change.name.split("__", 1)[1].replace("_", " ")
    columns = {
        "installed_rank": f"(SELECT coalesce(max(installed_rank), 0) + 1 FROM {_TABLE})",
        "version": literal(version) if version else "NULL",
        "description": literal(described),
        "type": "'SQL'",
        "script": literal(change.path),
        "checksum": str(_checksum(change)),
        "installed_by": "current_user",
        "execution_time": "0",
        "success": "true",
    }
    return f"INSERT INTO {_TABLE} ({', '.join(columns)}) VALUES ({', '.join(columns.values())})"


def _drop(change: Change, _: Change | None) -> str:
    newest = f"(SELECT max(installed_rank) FROM {_TABLE} WHERE script = {literal(change.path)})"
    return f"DELETE FROM {_TABLE} WHERE installed_rank = {newest}"


RECORD = Record(
    tool="Flyway",
    table=_TABLE,
    key=_key,
    # a baseline stands for what was there before Flyway came
    done=f"SELECT coalesce(version, script)::text FROM {_TABLE} WHERE success AND type IN ('SQL', 'BASELINE')",
    add=_add,
    drop=_drop,
    repeats=lambda change: not _version(change),
)
