CREATE INDEX CONCURRENTLY idx_user_subscriptions_user_id ON user_subscriptions (user_id);
CREATE INDEX CONCURRENTLY idx_usage_metrics_user_date ON usage_metrics (user_id, date);
