\set n random(1, 1000)
SELECT h.id, h.title, h.transcript FROM audio_history AS h WHERE h.user_id = md5('user-' || :n)::uuid ORDER BY h.created_at DESC LIMIT 5;
SELECT w.name, m.role FROM workspace_users AS m JOIN workspaces AS w ON w.id = m.workspace_id WHERE m.user_id = md5('user-' || :n)::uuid;
SELECT theme, language FROM user_settings WHERE user_id = md5('user-' || :n)::uuid;
INSERT INTO sessions (user_id, token, expires_at) VALUES (md5('user-' || :n)::uuid, md5(gen_random_uuid()::text), now() + interval '1 day');
