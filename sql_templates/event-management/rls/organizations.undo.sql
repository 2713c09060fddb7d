ALTER TABLE organizations DISABLE ROW LEVEL SECURITY;
DROP POLICY own_organization ON organizations;
