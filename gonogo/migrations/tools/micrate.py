"""micrate: `micrate_db_version`, a row for each version (https://github.com/amberframework/micrate)."""

from gonogo.migrations.tools.record import number, row_each

RECORD = row_each("micrate", "micrate_db_version", "version_id", number, lambda _: {"is_applied": "true"})
