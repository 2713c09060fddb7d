-- Only rows that are as they were made; what was changed since goes with its table, where it is counted first.
-- A row and its mark in one statement: one that the automation makes meanwhile keeps both, for the automation's own undo.
WITH mark AS (DELETE FROM migrated_rows WHERE made_in = 'workspace_settings' RETURNING id, was)
DELETE FROM workspace_settings AS s USING mark AS m WHERE m.id = s.workspace_id AND m.was = md5(to_jsonb(s)::text);
WITH mark AS (DELETE FROM migrated_rows WHERE made_in = 'storage_quotas' RETURNING id, was)
DELETE FROM storage_quotas AS q USING mark AS m WHERE m.id = q.workspace_id AND m.was = md5(to_jsonb(q)::text);
