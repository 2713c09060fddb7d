-- Of the new columns only: what the old ones hold was never promised.
ALTER TABLE audio_history ADD CONSTRAINT audio_history_analysis
  CHECK (confidence BETWEEN 0 AND 1 AND word_count >= 0 AND speaker_count >= 0 AND processing_time >= 0) NOT VALID;
ALTER TABLE audio_history ADD CONSTRAINT audio_history_costs
  CHECK (transcription_cost >= 0 AND summarization_cost >= 0 AND total_cost >= 0) NOT VALID;
