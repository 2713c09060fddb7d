-- "All sensitive data (API keys) must be encrypted": a text column takes a key as it is; this refuses the forms that are known.
ALTER TABLE api_key_management ADD CONSTRAINT api_key_management_encrypted
  CHECK (encrypted_key <> key_hash AND encrypted_key !~ '^(sk-|gsk_|hf_|AIza|AKIA|xoxb-)') NOT VALID;
ALTER TABLE subscription_plans ADD CONSTRAINT subscription_plans_price CHECK (price >= 0) NOT VALID;
ALTER TABLE workspace_subscriptions ADD CONSTRAINT workspace_subscriptions_period
  CHECK (current_period_end > current_period_start) NOT VALID;
ALTER TABLE billing_records ADD CONSTRAINT billing_records_dates CHECK (due_date >= invoice_date) NOT VALID;
ALTER TABLE export_history ADD CONSTRAINT export_history_size
  CHECK (file_size >= 0 AND (status <> 'completed' OR file_size IS NOT NULL)) NOT VALID;
ALTER TABLE data_retention_policies ADD CONSTRAINT data_retention_policies_days CHECK (retention_days > 0) NOT VALID;
