-- Users without settings or quotas, and workspaces without theirs.
SELECT (SELECT count(*) FROM users AS u WHERE NOT EXISTS (SELECT FROM user_settings AS s WHERE s.user_id = u.id)
    OR NOT EXISTS (SELECT FROM user_quotas AS q WHERE q.user_id = u.id))
  + (SELECT count(*) FROM workspaces AS w WHERE NOT EXISTS (SELECT FROM workspace_settings AS s WHERE s.workspace_id = w.id)
    OR NOT EXISTS (SELECT FROM storage_quotas AS q WHERE q.workspace_id = w.id))
