ALTER TABLE data_retention_policies DROP CONSTRAINT IF EXISTS data_retention_policies_days;
ALTER TABLE export_history DROP CONSTRAINT IF EXISTS export_history_size;
ALTER TABLE billing_records DROP CONSTRAINT IF EXISTS billing_records_dates;
ALTER TABLE workspace_subscriptions DROP CONSTRAINT IF EXISTS workspace_subscriptions_period;
ALTER TABLE subscription_plans DROP CONSTRAINT IF EXISTS subscription_plans_price;
ALTER TABLE api_key_management DROP CONSTRAINT IF EXISTS api_key_management_encrypted;
