-- Migration 3. A new column that is NULL needs no look at the rows for its reference.
ALTER TABLE audio_history
  ADD COLUMN upload_id uuid REFERENCES audio_uploads (id) ON DELETE SET NULL,
  ADD COLUMN language varchar(10),
  ADD COLUMN confidence decimal(4, 3),
  ADD COLUMN word_count integer,
  ADD COLUMN speaker_count integer,
  ADD COLUMN processing_time decimal(10, 3),
  ADD COLUMN api_provider varchar(50),
  ADD COLUMN model_version varchar(100),
  ADD COLUMN transcription_cost decimal(10, 4),
  ADD COLUMN summarization_cost decimal(10, 4),
  ADD COLUMN total_cost decimal(10, 4),
  ADD COLUMN updated_at timestamp;
-- The plan gives the default with the column: every old row would say that it was updated at the time of the migration.
ALTER TABLE audio_history ALTER COLUMN updated_at SET DEFAULT CURRENT_TIMESTAMP;
