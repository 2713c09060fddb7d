ALTER TABLE organization_members DISABLE ROW LEVEL SECURITY;
DROP POLICY own_organization ON organization_members;
