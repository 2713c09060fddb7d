ALTER TABLE audio_chunks DROP CONSTRAINT IF EXISTS audio_chunks_times;
ALTER TABLE audio_segments DROP CONSTRAINT IF EXISTS audio_segments_confidence;
ALTER TABLE audio_segments DROP CONSTRAINT IF EXISTS audio_segments_times;
ALTER TABLE processing_jobs DROP CONSTRAINT IF EXISTS processing_jobs_retries;
ALTER TABLE processing_jobs DROP CONSTRAINT IF EXISTS processing_jobs_progress;
ALTER TABLE audio_uploads DROP CONSTRAINT IF EXISTS audio_uploads_sizes;
