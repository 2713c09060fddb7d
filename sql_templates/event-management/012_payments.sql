-- The plan counts "50+ tables" in a core_tables.sql that it does not contain. These twelve (012 to 015), beside the eleven that are
-- there, are what its functions, tests and queries name. Their indexes are built on tables that nobody uses yet.
CREATE TABLE profiles (
  user_id uuid PRIMARY KEY,
  full_name text,
  skills text[] NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE sponsors (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  name text NOT NULL,
  contact_email text,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (organization_id, name)
);

CREATE TABLE payments (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  organization_id uuid NOT NULL REFERENCES organizations (id),
  order_id uuid NOT NULL REFERENCES orders (id),
  provider text NOT NULL DEFAULT 'stripe',
  payment_id text NOT NULL UNIQUE,
  amount numeric(12, 2) NOT NULL CHECK (amount >= 0),
  paid_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_payments_organization ON payments (organization_id, paid_at DESC);
CREATE INDEX idx_payments_order ON payments (order_id);

-- A provider sends an event twice where it got no answer: the key takes it once.
CREATE TABLE webhook_events (
  provider text NOT NULL,
  external_id text NOT NULL,
  payload jsonb NOT NULL,
  received_at timestamptz NOT NULL DEFAULT now(),
  processed_at timestamptz,
  PRIMARY KEY (provider, external_id)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON profiles, sponsors, payments, webhook_events TO event_app;
