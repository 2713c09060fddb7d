"""goose: `goose_db_version`, a row for each version (https://github.com/pressly/goose)."""

from gonogo.migrations.tools.record import newest_applied, number, row_each

_TABLE = "goose_db_version"
RECORD = row_each("goose", _TABLE, "version_id", number, lambda _: {"is_applied": "true"}, done=newest_applied(_TABLE))
