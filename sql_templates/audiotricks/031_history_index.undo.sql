DROP INDEX CONCURRENTLY IF EXISTS idx_audio_history_upload;
