DROP TRIGGER initialize_workspace ON workspaces;
DROP TRIGGER initialize_user ON users;
DROP FUNCTION initialize_workspace(), initialize_user(), backfill_workspace_initialization(uuid[]), backfill_user_initialization(uuid[]);
-- What the triggers made for those who came meanwhile goes with them, where nobody has changed it since.
WITH mark AS (DELETE FROM migrated_rows WHERE made_in = 'user_settings' RETURNING id, was)
DELETE FROM user_settings AS s USING mark AS m WHERE m.id = s.user_id AND m.was = md5(to_jsonb(s)::text);
WITH mark AS (DELETE FROM migrated_rows WHERE made_in = 'user_quotas' RETURNING id, was)
DELETE FROM user_quotas AS q USING mark AS m WHERE m.id = q.user_id AND m.was = md5(to_jsonb(q)::text);
WITH mark AS (DELETE FROM migrated_rows WHERE made_in = 'workspace_settings' RETURNING id, was)
DELETE FROM workspace_settings AS s USING mark AS m WHERE m.id = s.workspace_id AND m.was = md5(to_jsonb(s)::text);
WITH mark AS (DELETE FROM migrated_rows WHERE made_in = 'storage_quotas' RETURNING id, was)
DELETE FROM storage_quotas AS q USING mark AS m WHERE m.id = q.workspace_id AND m.was = md5(to_jsonb(q)::text);
DROP TABLE migrated_rows;
