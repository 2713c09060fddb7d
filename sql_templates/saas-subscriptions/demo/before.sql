-- The basic subscription schema that the plan says is there.
CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email text UNIQUE, full_name text, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE customers (id uuid PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE, stripe_customer_id text UNIQUE);
CREATE TABLE products (id text PRIMARY KEY, active boolean, name text, description text, image text, metadata jsonb);
CREATE TABLE prices (id text PRIMARY KEY, product_id text REFERENCES products(id), active boolean, unit_amount bigint, currency text CHECK (char_length(currency)=3), type text, "interval" text, interval_count integer, metadata jsonb);
CREATE TABLE payment_methods (id text PRIMARY KEY, user_id uuid NOT NULL REFERENCES users(id) ON DELETE CASCADE, type text, brand text, last4 text, is_default boolean DEFAULT false, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE subscriptions (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  stripe_subscription_id text UNIQUE,
  stripe_price_id text REFERENCES prices(id),
  status text NOT NULL,
  quantity integer,
  current_period_start timestamptz, current_period_end timestamptz,
  trial_start timestamptz, trial_end timestamptz, canceled_at timestamptz, ended_at timestamptz,
  metadata jsonb, created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE subscription_changes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), subscription_id uuid NOT NULL REFERENCES subscriptions(id) ON DELETE CASCADE, from_price_id text REFERENCES prices(id), to_price_id text REFERENCES prices(id), changed_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX payment_methods_user_idx ON payment_methods(user_id);
