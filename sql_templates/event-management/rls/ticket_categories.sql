-- Whose it is says what it belongs to, which the application sees by the policy there.
CREATE POLICY own_organization ON ticket_categories USING (EXISTS (SELECT FROM events AS e WHERE e.id = event_id));
ALTER TABLE ticket_categories ENABLE ROW LEVEL SECURITY;
