"""goose: `goose_db_version`, a row for each version (https://github.com/pressly/goose)."""

from gonogo.migrations.tools.record import number, row_each

RECORD = row_each("goose", "goose_db_version", "version_id", number, lambda _: {"is_applied": "true"})
