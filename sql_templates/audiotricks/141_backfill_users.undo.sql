-- Settings that a user has changed since are the user's: they stay.
WITH mark AS (DELETE FROM migrated_rows WHERE made_in = 'user_settings' RETURNING id, was)
DELETE FROM user_settings AS s USING mark AS m WHERE m.id = s.user_id AND m.was = md5(to_jsonb(s)::text);
WITH mark AS (DELETE FROM migrated_rows WHERE made_in = 'user_quotas' RETURNING id, was)
DELETE FROM user_quotas AS q USING mark AS m WHERE m.id = q.user_id AND m.was = md5(to_jsonb(q)::text);
