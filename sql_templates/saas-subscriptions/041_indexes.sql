-- Add critical indexes for performance
CREATE INDEX CONCURRENTLY idx_subscriptions_user_status ON subscriptions(user_id, status);
CREATE INDEX CONCURRENTLY idx_subscriptions_mrr ON subscriptions(mrr_amount) WHERE mrr_amount IS NOT NULL;
CREATE INDEX CONCURRENTLY idx_subscriptions_period_end ON subscriptions(current_period_end);
CREATE INDEX CONCURRENTLY idx_usage_events_user_time ON usage_events(user_id, event_timestamp);
CREATE INDEX CONCURRENTLY idx_invoices_user_status ON invoices(user_id, status);
CREATE INDEX CONCURRENTLY idx_payments_user_status ON payments(user_id, status);
