-- The plan counts every row of pg_stat_activity: those of the server itself too.
SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'
