"""sqlx: `_sqlx_migrations`, a row for each version, with the SHA-384 of its file (https://github.com/launchbadge/sqlx)."""

from __future__ import annotations

import hashlib

from gonogo.migrations.changes import Change
from gonogo.migrations.tools.record import file_of, literal, number, rest, row_each


def _more(change: Change) -> dict[str, str]:
    digest = hashlib.sha384(file_of(change).read_bytes()).hexdigest()
    return {
        "description": literal(rest(change)),
        "success": "true",
        "checksum": f"decode('{digest}', 'hex')",
        "execution_time": "0",
    }


RECORD = row_each("sqlx", "_sqlx_migrations", "version", number, _more, reads_as=("golang-migrate", "numbered files"))
