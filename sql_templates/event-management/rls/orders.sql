CREATE POLICY own_organization ON orders USING (organization_id = current_organization());
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
