SELECT count(*)
FROM unnest(ARRAY[
  'subscription_plans', 'workspace_subscriptions', 'billing_records', 'security_events', 'audit_logs', 'export_history',
  'data_retention_policies']) AS t (name)
WHERE to_regclass('public.' || t.name) IS NULL
