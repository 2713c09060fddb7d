"""node-pg-migrate: `pgmigrations`, a row for each file (https://github.com/salsita/node-pg-migrate)."""

from gonogo.migrations.tools.record import row_each

RECORD = row_each("node-pg-migrate", "pgmigrations", "name", lambda change: change.name, lambda _: {"run_on": "now()"})
