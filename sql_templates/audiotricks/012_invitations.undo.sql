ALTER TABLE workspace_invitations DROP COLUMN invited_by_id;
