CREATE POLICY own_organization ON organization_members USING (organization_id = current_organization());
ALTER TABLE organization_members ENABLE ROW LEVEL SECURITY;
