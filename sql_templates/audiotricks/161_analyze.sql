ANALYZE users; ANALYZE user_settings; ANALYZE user_quotas; ANALYZE workspace_settings; ANALYZE storage_quotas; ANALYZE audio_history;
