-- Tables of phase 1 that are not there.
SELECT count(*) FROM unnest(ARRAY['audio_uploads', 'processing_jobs', 'audio_segments', 'audio_chunks', 'usage_metrics', 'user_quotas']) AS t (name)
WHERE to_regclass('public.' || t.name) IS NULL
