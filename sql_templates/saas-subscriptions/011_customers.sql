-- In the order in which a user who comes or goes takes what is theirs along: the other way round one of the two is a deadlock.
LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE;
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

-- Whoever asks is asked for their own rights, and policies of the table go on holding for them.
CREATE VIEW customers WITH (security_invoker = true) AS SELECT id, stripe_customer_id FROM stripe_customers_old;
SELECT same_rights('stripe_customers_old', 'customers'), same_rights('stripe_customers_old', 'stripe_customers');

-- What is written under the old name arrives in the new table too, also by a role that has no rights there.
CREATE FUNCTION mirror_customer() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND (NEW.stripe_customer_id IS NULL OR NEW.id <> OLD.id) THEN
    DELETE FROM stripe_customers WHERE user_id = OLD.id;
  END IF;
  IF TG_OP <> 'DELETE' AND NEW.stripe_customer_id IS NOT NULL THEN
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
