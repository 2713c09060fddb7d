-- "Database connection usage": the share of connections that are taken, and how many there may be
SELECT count(*)::numeric / current_setting('max_connections')::integer, current_setting('max_connections')::integer
FROM pg_stat_activity WHERE backend_type = 'client backend'
