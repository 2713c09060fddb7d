-- Whose it is says what it belongs to, which the application sees by the policy there.
CREATE POLICY own_organization ON sponsor_deals USING (EXISTS (SELECT FROM events AS e WHERE e.id = event_id));
ALTER TABLE sponsor_deals ENABLE ROW LEVEL SECURITY;
