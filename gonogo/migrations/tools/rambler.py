"""rambler: `migrations`, a row for each file (https://github.com/elwinar/rambler)."""

from gonogo.migrations.tools.record import row_each

RECORD = row_each("rambler", "migrations", "migration", lambda change: change.path)
