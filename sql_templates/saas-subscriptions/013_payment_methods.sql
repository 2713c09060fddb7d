-- In the order in which a user who comes or goes takes what is theirs along: the other way round one of the two is a deadlock.
LOCK TABLE users, stripe_customers, payment_methods IN SHARE ROW EXCLUSIVE MODE;
-- The plan gives the new table the old one's name, so the application's "brand" would be gone, and asks for a Stripe customer,
-- which a third of the rows do not have: they would be lost. Here the new table has a name of its own and takes them all.
CREATE TABLE stripe_payment_methods (
  id text PRIMARY KEY,
  user_id uuid NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  -- an id that changes, or goes, under the old name must not be refused because of this table
  stripe_customer_id text REFERENCES stripe_customers(stripe_customer_id) ON UPDATE CASCADE ON DELETE SET NULL,
  -- The plan takes five types. What the application takes is not for this table to refuse, neither now nor when it is written there.
  type text,
  card_brand text,
  card_last4 text,
  card_exp_month integer,
  card_exp_year integer,
  card_country text,
  bank_name text,
  bank_last4 text,
  bank_account_type text,
  is_default boolean DEFAULT false,
  status text DEFAULT 'active' CHECK (status IN ('active', 'inactive', 'requires_action', 'failed')),
  stripe_metadata jsonb DEFAULT '{}',
  created_at timestamptz DEFAULT now() NOT NULL,
  updated_at timestamptz DEFAULT now() NOT NULL
);

SELECT same_rights('payment_methods', 'stripe_payment_methods');

CREATE FUNCTION mirror_payment_method() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND NEW.id <> OLD.id THEN
    DELETE FROM stripe_payment_methods WHERE id = OLD.id;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO stripe_payment_methods (id, user_id, stripe_customer_id, type, card_brand, card_last4, is_default, created_at)
    SELECT NEW.id, NEW.user_id, (SELECT sc.stripe_customer_id FROM stripe_customers AS sc WHERE sc.user_id = NEW.user_id FOR KEY SHARE),
           NEW.type, NEW.brand, NEW.last4, NEW.is_default, NEW.created_at
    ON CONFLICT (id) DO UPDATE
    SET user_id = excluded.user_id, stripe_customer_id = excluded.stripe_customer_id, type = excluded.type, card_brand = excluded.card_brand, card_last4 = excluded.card_last4, is_default = excluded.is_default,
        updated_at = now();
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER mirror_payment_method AFTER INSERT OR UPDATE OR DELETE ON payment_methods
  FOR EACH ROW EXECUTE FUNCTION mirror_payment_method();

-- A customer who gets a Stripe id later is that of the methods which are there already.
CREATE FUNCTION adopt_payment_methods() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  UPDATE stripe_payment_methods SET stripe_customer_id = NEW.stripe_customer_id WHERE user_id = NEW.user_id;
  RETURN NULL;
END $$;
CREATE TRIGGER adopt_payment_methods AFTER INSERT ON stripe_customers FOR EACH ROW EXECUTE FUNCTION adopt_payment_methods();

INSERT INTO stripe_payment_methods (id, user_id, stripe_customer_id, type, card_brand, card_last4, is_default, created_at)
SELECT pm.id, pm.user_id, sc.stripe_customer_id, pm.type, pm.brand, pm.last4, pm.is_default, pm.created_at
FROM payment_methods AS pm LEFT JOIN stripe_customers AS sc ON sc.user_id = pm.user_id;

-- Both are looked for at each write of a customer.
CREATE INDEX stripe_payment_methods_user_idx ON stripe_payment_methods (user_id);
CREATE INDEX stripe_payment_methods_customer_idx ON stripe_payment_methods (stripe_customer_id);
