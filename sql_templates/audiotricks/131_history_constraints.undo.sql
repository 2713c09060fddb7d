ALTER TABLE audio_history DROP CONSTRAINT IF EXISTS audio_history_costs;
ALTER TABLE audio_history DROP CONSTRAINT IF EXISTS audio_history_analysis;
