-- The plan enables row-level security in one file and makes the policies in the next: between them the application sees nothing and
-- may write nothing (42501). Here a table gets both at once, and each table has a transaction of its own.
CREATE POLICY own_organization ON organizations USING (id = current_organization());
ALTER TABLE organizations ENABLE ROW LEVEL SECURITY;
