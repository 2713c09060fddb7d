-- The plan's CREATE INDEX keeps every writer of the history waiting while it reads the table.
CREATE INDEX CONCURRENTLY idx_audio_history_upload ON audio_history (upload_id);
