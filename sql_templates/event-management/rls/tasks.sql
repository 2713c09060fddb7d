CREATE POLICY own_organization ON tasks USING (organization_id = current_organization());
ALTER TABLE tasks ENABLE ROW LEVEL SECURITY;
