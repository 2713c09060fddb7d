WITH mark AS (DELETE FROM migrated_rows WHERE made_in = 'audio_history' RETURNING id)
UPDATE audio_history AS h SET updated_at = NULL, word_count = NULL FROM mark AS m WHERE m.id = h.id AND h.updated_at = h.created_at;
