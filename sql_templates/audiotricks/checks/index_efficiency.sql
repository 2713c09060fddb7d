-- "Index efficiency": references of the new tables without an index that begins with them
SELECT count(*)
FROM pg_constraint AS k
WHERE k.contype = 'f' AND k.connamespace = 'public'::regnamespace
  AND k.conrelid::regclass::text IN (
    'audio_uploads', 'processing_jobs', 'audio_segments', 'audio_chunks', 'usage_metrics', 'user_quotas', 'workspace_settings',
    'processing_templates', 'api_key_management', 'audio_projects', 'storage_quotas', 'workspace_subscriptions', 'billing_records',
    'security_events', 'audit_logs', 'export_history')
  AND NOT EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = k.conrelid AND i.indkey[0] = k.conkey[1])
