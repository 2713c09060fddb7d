ALTER TABLE storage_quotas DROP CONSTRAINT IF EXISTS storage_quotas_sizes;
ALTER TABLE user_quotas DROP CONSTRAINT IF EXISTS user_quotas_period;
ALTER TABLE usage_metrics DROP CONSTRAINT IF EXISTS usage_metrics_period;
ALTER TABLE usage_metrics DROP CONSTRAINT IF EXISTS usage_metrics_amounts;
