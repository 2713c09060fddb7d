"""Which schemas are the users': neither PostgreSQL's own nor the ledger's."""

#: a condition on `pg_namespace n`
USERS_SCHEMAS = "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'gonogo')"
