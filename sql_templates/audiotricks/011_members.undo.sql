ALTER TABLE workspace_users
  DROP COLUMN permissions,
  DROP COLUMN last_active_at;
