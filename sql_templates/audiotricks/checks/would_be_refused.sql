-- Rows that the constraints of 130 to 135 would refuse: in weeks the application has written what nothing checked.
SELECT (SELECT count(*) FROM audio_uploads WHERE NOT (file_size >= 0 AND duration >= 0))
  + (SELECT count(*) FROM processing_jobs WHERE NOT (progress BETWEEN 0 AND 1 AND retry_count >= 0 AND max_retries >= 0))
  + (SELECT count(*) FROM audio_segments WHERE NOT (start_time >= 0 AND end_time >= start_time AND confidence BETWEEN 0 AND 1))
  + (SELECT count(*) FROM audio_chunks WHERE NOT (start_time >= 0 AND end_time >= start_time AND file_size >= 0))
  + (SELECT count(*) FROM audio_history WHERE NOT (confidence BETWEEN 0 AND 1 AND word_count >= 0 AND speaker_count >= 0
      AND processing_time >= 0 AND transcription_cost >= 0 AND summarization_cost >= 0 AND total_cost >= 0))
  + (SELECT count(*) FROM user_settings WHERE NOT (default_temperature BETWEEN 0 AND 2 AND default_max_tokens > 0))
  + (SELECT count(*) FROM workspace_invitations AS i
      WHERE i.invited_by_id IS NOT NULL AND NOT EXISTS (SELECT FROM users AS u WHERE u.id = i.invited_by_id))
  + (SELECT count(*) FROM usage_metrics WHERE NOT (quantity >= 0 AND cost >= 0 AND period_end >= period_start))
  + (SELECT count(*) FROM user_quotas WHERE NOT (period_end > period_start))
  + (SELECT count(*) FROM storage_quotas WHERE NOT (max_storage_bytes >= 0 AND max_file_count >= 0 AND max_file_size >= 0
      AND current_storage_bytes >= 0 AND current_file_count >= 0))
  + (SELECT count(*) FROM api_key_management
      WHERE NOT (encrypted_key <> key_hash AND encrypted_key !~ '^(sk-|gsk_|hf_|AIza|AKIA|xoxb-)'))
  + (SELECT count(*) FROM subscription_plans WHERE NOT (price >= 0))
  + (SELECT count(*) FROM workspace_subscriptions WHERE NOT (current_period_end > current_period_start))
  + (SELECT count(*) FROM billing_records WHERE NOT (due_date >= invoice_date))
  + (SELECT count(*) FROM export_history WHERE NOT (file_size >= 0 AND (status <> 'completed' OR file_size IS NOT NULL)))
  + (SELECT count(*) FROM data_retention_policies WHERE NOT (retention_days > 0))
