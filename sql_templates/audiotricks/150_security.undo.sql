ALTER TABLE api_key_management DISABLE ROW LEVEL SECURITY;
DROP POLICY own_keys ON api_key_management;
DROP TRIGGER audit_change ON data_retention_policies;
DROP TRIGGER audit_change ON billing_records;
DROP TRIGGER audit_change ON workspace_subscriptions;
DROP TRIGGER audit_change ON subscription_plans;
DROP TRIGGER audit_change ON workspace_settings;
DROP TRIGGER audit_change ON api_key_management;
DROP FUNCTION audit_change();
