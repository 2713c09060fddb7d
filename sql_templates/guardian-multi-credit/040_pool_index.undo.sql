DROP INDEX CONCURRENTLY IF EXISTS credit_consumption_log_pool_idx;
