ALTER TABLE sponsor_deals DISABLE ROW LEVEL SECURITY;
DROP POLICY own_organization ON sponsor_deals;
