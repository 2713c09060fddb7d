-- What the migration would meet that it makes itself, and what its rollback would switch off although it was on.
SELECT (SELECT count(*) FROM unnest(ARRAY['profiles', 'sponsors', 'payments', 'webhook_events', 'ai_agents', 'ai_conversations', 'ai_content',
    'workflows', 'workflow_runs', 'campaigns', 'price_changes', 'event_metrics', 'organization_dashboard', 'trigger_states']) AS t (name)
  WHERE to_regclass('public.' || t.name) IS NOT NULL)
  + (SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm')
  + (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relrowsecurity)
