-- The plan's data-validation-constraints.sql has no text. In 130 to 135, what its own columns mean, area by area:
-- NOT VALID takes its lock for a moment, and 136 reads the tables in a transaction of its own, while others write.
ALTER TABLE audio_uploads ADD CONSTRAINT audio_uploads_sizes CHECK (file_size >= 0 AND duration >= 0) NOT VALID;
ALTER TABLE processing_jobs ADD CONSTRAINT processing_jobs_progress CHECK (progress BETWEEN 0 AND 1) NOT VALID;
ALTER TABLE processing_jobs ADD CONSTRAINT processing_jobs_retries CHECK (retry_count >= 0 AND max_retries >= 0) NOT VALID;
ALTER TABLE audio_segments ADD CONSTRAINT audio_segments_times CHECK (start_time >= 0 AND end_time >= start_time) NOT VALID;
ALTER TABLE audio_segments ADD CONSTRAINT audio_segments_confidence CHECK (confidence BETWEEN 0 AND 1) NOT VALID;
ALTER TABLE audio_chunks ADD CONSTRAINT audio_chunks_times CHECK (start_time >= 0 AND end_time >= start_time AND file_size >= 0) NOT VALID;
