"""micrate: `micrate_db_version`, a row for each version (https://github.com/amberframework/micrate)."""

from gonogo.migrations.tools.record import newest_applied, number, row_each

_TABLE = "micrate_db_version"
RECORD = row_each("micrate", _TABLE, "version_id", number, lambda _: {"is_applied": "true"}, done=newest_applied(_TABLE))
