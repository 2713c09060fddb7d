-- The plan says tablename, which is relname here (42703). How many rows were written since the statistics began.
SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables
