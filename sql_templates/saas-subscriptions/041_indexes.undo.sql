DROP INDEX CONCURRENTLY IF EXISTS idx_payments_user_status;
DROP INDEX CONCURRENTLY IF EXISTS idx_invoices_user_status;
DROP INDEX CONCURRENTLY IF EXISTS idx_usage_events_user_time;
DROP INDEX CONCURRENTLY IF EXISTS idx_subscriptions_period_end;
DROP INDEX CONCURRENTLY IF EXISTS idx_subscriptions_mrr;
DROP INDEX CONCURRENTLY IF EXISTS idx_subscriptions_user_status;
