CREATE POLICY own_organization ON events USING (organization_id = current_organization());
ALTER TABLE events ENABLE ROW LEVEL SECURITY;
