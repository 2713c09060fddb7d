"""Which schemas are the users': neither PostgreSQL's own nor the ledger's; and how their tables are called."""

#: the name of `pg_class c` in `pg_namespace n` as people say it: without the schema where that is public
SAID = "pg_catalog.concat_ws('.', nullif(pg_catalog.quote_ident(n.nspname), 'public'), pg_catalog.quote_ident(c.relname))"
#: a condition on `pg_namespace n`
USERS_SCHEMAS = "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'gonogo')"
