SELECT count(*) FROM audio_history WHERE updated_at IS NULL
