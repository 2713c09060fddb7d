"""dbmate: `schema_migrations`, a row for each version (https://github.com/amacneil/dbmate)."""

from gonogo.migrations.tools.record import leading_digits, row_each

RECORD = row_each("dbmate", "schema_migrations", "version", leading_digits)
