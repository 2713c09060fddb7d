-- "All database tables created successfully": tables that are not there.
SELECT count(*)
FROM unnest(ARRAY[
  'organizations', 'organization_members', 'venues', 'events', 'ticket_categories', 'orders', 'tickets', 'tasks', 'sponsor_deals',
  'audit_log', 'integration_logs', 'profiles', 'sponsors', 'payments', 'webhook_events', 'ai_agents', 'ai_conversations', 'ai_content',
  'workflows', 'workflow_runs', 'campaigns', 'price_changes', 'event_metrics']) AS t (name)
WHERE to_regclass('public.' || t.name) IS NULL
