CREATE POLICY own_organization ON venues USING (organization_id = current_organization());
ALTER TABLE venues ENABLE ROW LEVEL SECURITY;
