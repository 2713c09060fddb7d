-- The plan says mean_time, which is mean_exec_time since 13 (42703). Needs the extension, and shared_preload_libraries.
SELECT max(mean_exec_time), count(*)
FROM (SELECT mean_exec_time FROM pg_stat_statements WHERE calls >= 10 ORDER BY mean_exec_time DESC LIMIT 10) AS slowest
