ALTER TABLE ticket_categories DISABLE ROW LEVEL SECURITY;
DROP POLICY own_organization ON ticket_categories;
