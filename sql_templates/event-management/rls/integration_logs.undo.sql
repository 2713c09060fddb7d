ALTER TABLE integration_logs DISABLE ROW LEVEL SECURITY;
DROP POLICY write_only ON integration_logs;
