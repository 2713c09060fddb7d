"""sql-migrate: `gorp_migrations`, a row for each file (https://github.com/rubenv/sql-migrate)."""

from gonogo.migrations.tools.record import row_each

RECORD = row_each("sql-migrate", "gorp_migrations", "id", lambda change: change.path, lambda _: {"applied_at": "now()"})
