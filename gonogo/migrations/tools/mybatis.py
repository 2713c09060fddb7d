"""MyBatis Migrations: `changelog`, a row for each number (https://mybatis.org/migrations)."""

from __future__ import annotations

from gonogo.migrations.tools.record import literal, number, rest, row_each

RECORD = row_each(
    "MyBatis",
    "changelog",
    "id",
    number,
    lambda change: {"applied_at": "to_char(now(), 'YYYY-MM-DD HH24:MI:SS')", "description": literal(rest(change))},
)
