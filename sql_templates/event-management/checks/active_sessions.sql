-- "High Database CPU": SQL knows no CPU, and the plan's query answers rows. The share of connections that work, of those there may be.
SELECT count(*)::numeric / current_setting('max_connections')::integer, current_setting('max_connections')::integer
FROM pg_stat_activity WHERE state = 'active' AND backend_type = 'client backend'
