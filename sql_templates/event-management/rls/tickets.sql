-- Whose it is says what it belongs to, which the application sees by the policy there.
CREATE POLICY own_organization ON tickets USING (EXISTS (SELECT FROM orders AS o WHERE o.id = order_id));
ALTER TABLE tickets ENABLE ROW LEVEL SECURITY;
