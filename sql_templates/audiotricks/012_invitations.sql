-- The plan gives it no reference, so it would take the id of nobody; that follows in 133_invitation_constraints.sql.
ALTER TABLE workspace_invitations ADD COLUMN invited_by_id uuid;
