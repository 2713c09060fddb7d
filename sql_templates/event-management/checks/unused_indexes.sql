-- The plan's indexUsage, with names that exist (42703) and one number: indexes that nobody has used, unique ones aside.
SELECT count(*) FROM pg_stat_user_indexes AS s JOIN pg_index AS i USING (indexrelid) WHERE s.idx_scan = 0 AND NOT i.indisunique
