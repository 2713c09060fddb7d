"""Prisma: `_prisma_migrations`, a row for each folder, with the SHA-256 of its file (https://www.prisma.io/docs/orm/prisma-migrate)."""

from __future__ import annotations

import hashlib

from gonogo.migrations.changes import Change
from gonogo.migrations.tools.record import file_of, row_each


def _more(change: Change) -> dict[str, str]:
    return {
        "id": "gen_random_uuid()::text",
        "checksum": f"'{hashlib.sha256(file_of(change).read_bytes()).hexdigest()}'",
        "started_at": "now()",
        "finished_at": "now()",
        "applied_steps_count": "1",
    }


RECORD = row_each("Prisma", "_prisma_migrations", "migration_name", lambda change: change.name, _more)
