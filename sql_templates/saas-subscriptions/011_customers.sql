-- Rename and copy; the old name stays alive as a view, through which the application reads and writes as before.
ALTER TABLE customers RENAME TO stripe_customers_old;

CREATE TABLE stripe_customers (
  user_id uuid PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE,
  stripe_customer_id text UNIQUE NOT NULL,
  email text NOT NULL,
  name text,
  phone text,
  address jsonb,
  shipping jsonb,
  currency text DEFAULT 'usd' CHECK (length(currency) = 3),
  payment_method_types text[] DEFAULT ARRAY['card'],
  tax_exempt boolean DEFAULT false,
  stripe_metadata jsonb DEFAULT '{}',
  created_at timestamptz DEFAULT now() NOT NULL,
  updated_at timestamptz DEFAULT now() NOT NULL
);

CREATE VIEW customers AS SELECT id, stripe_customer_id FROM stripe_customers_old;

-- What is written under the old name arrives in the new table too.
CREATE FUNCTION mirror_customer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND NEW.stripe_customer_id IS NULL) THEN
    DELETE FROM stripe_customers WHERE user_id = OLD.id;
  ELSIF NEW.stripe_customer_id IS NOT NULL THEN
    INSERT INTO stripe_customers (user_id, stripe_customer_id, email)
    SELECT NEW.id, NEW.stripe_customer_id, coalesce(u.email, '') FROM users AS u WHERE u.id = NEW.id
    ON CONFLICT (user_id) DO UPDATE SET stripe_customer_id = excluded.stripe_customer_id, updated_at = now();
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER mirror_customer AFTER INSERT OR UPDATE OR DELETE ON stripe_customers_old
  FOR EACH ROW EXECUTE FUNCTION mirror_customer();

-- The plan's SELECT names an ambiguous id (42702); its new table takes no NULL, and users without an e-mail have one.
INSERT INTO stripe_customers (user_id, stripe_customer_id, email, created_at)
SELECT sc.id, sc.stripe_customer_id, coalesce(u.email, ''), now()
FROM stripe_customers_old AS sc JOIN users AS u ON u.id = sc.id
WHERE sc.stripe_customer_id IS NOT NULL;
