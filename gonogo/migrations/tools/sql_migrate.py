"""sql-migrate: `gorp_migrations`, a row for each file (https://github.com/rubenv/sql-migrate)."""

from gonogo.migrations.tools.record import file_of, row_each

RECORD = row_each("sql-migrate", "gorp_migrations", "id", lambda change: file_of(change).name, lambda _: {"applied_at": "now()"})
