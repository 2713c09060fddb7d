ALTER TABLE workspace_invitations ADD CONSTRAINT workspace_invitations_invited_by_id_fkey
  FOREIGN KEY (invited_by_id) REFERENCES users (id) ON DELETE SET NULL NOT VALID;
