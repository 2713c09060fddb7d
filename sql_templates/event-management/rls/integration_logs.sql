-- Rows of all organizations, which only the owner reads; whoever wrote here goes on writing.
CREATE POLICY write_only ON integration_logs FOR INSERT WITH CHECK (true);
ALTER TABLE integration_logs ENABLE ROW LEVEL SECURITY;
