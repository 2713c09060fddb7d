ALTER TABLE workspace_users
  ADD COLUMN permissions jsonb DEFAULT '{}',
  ADD COLUMN last_active_at timestamp;
