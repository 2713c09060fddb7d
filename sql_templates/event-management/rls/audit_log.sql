-- Rows of all organizations, which only the owner reads; whoever wrote here goes on writing.
CREATE POLICY write_only ON audit_log FOR INSERT WITH CHECK (true);
ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
