SELECT count(*) FROM unnest(ARRAY['workspace_settings', 'processing_templates', 'api_key_management', 'audio_projects', 'storage_quotas']) AS t (name)
WHERE to_regclass('public.' || t.name) IS NULL
