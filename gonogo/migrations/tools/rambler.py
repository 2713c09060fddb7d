"""rambler: `migrations`, a row for each file (https://github.com/elwinar/rambler)."""

from gonogo.migrations.tools.record import file_of, row_each

RECORD = row_each("rambler", "migrations", "migration", lambda change: file_of(change).name)
