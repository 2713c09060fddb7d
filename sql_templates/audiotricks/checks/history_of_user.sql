-- the newest of three users, others each time
SELECT h.id, h.title, h.duration FROM audio_history AS h
WHERE h.user_id IN (SELECT u.id FROM users AS u WHERE u.id >= gen_random_uuid() ORDER BY u.id LIMIT 3)
ORDER BY h.user_id, h.created_at DESC
