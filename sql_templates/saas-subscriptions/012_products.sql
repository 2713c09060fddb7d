CREATE TABLE product_categories (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name text NOT NULL,
  slug text UNIQUE NOT NULL,
  description text,
  display_order integer DEFAULT 0,
  parent_id uuid REFERENCES product_categories(id) ON DELETE SET NULL,
  metadata jsonb DEFAULT '{}',
  created_at timestamptz DEFAULT now() NOT NULL
);

ALTER TABLE products RENAME TO stripe_products_old;

CREATE TABLE stripe_products (
  stripe_product_id text PRIMARY KEY,
  category_id uuid REFERENCES product_categories(id) ON DELETE SET NULL,
  name text NOT NULL,
  description text,
  statement_descriptor text,
  type text DEFAULT 'service' CHECK (type IN ('service', 'good')),
  active boolean DEFAULT true,
  tier text DEFAULT 'standard' CHECK (tier IN ('free', 'starter', 'standard', 'professional', 'enterprise')),
  target_audience text[] DEFAULT ARRAY['small_business'],
  usage_type text DEFAULT 'licensed' CHECK (usage_type IN ('licensed', 'metered')),
  billing_scheme text DEFAULT 'per_unit' CHECK (billing_scheme IN ('per_unit', 'tiered', 'volume')),
  features jsonb DEFAULT '{}',
  limits jsonb DEFAULT '{}',
  highlight_text text,
  marketing_features text[],
  comparison_features jsonb DEFAULT '{}',
  images text[],
  logo_url text,
  icon_url text,
  seo_title text,
  seo_description text,
  stripe_metadata jsonb DEFAULT '{}',
  metadata jsonb DEFAULT '{}',
  created_at timestamptz DEFAULT now() NOT NULL,
  updated_at timestamptz DEFAULT now() NOT NULL
);

CREATE VIEW products WITH (security_invoker = true) AS
SELECT id, active, name, description, image, metadata FROM stripe_products_old;
SELECT same_rights('stripe_products_old', 'products'), same_rights('stripe_products_old', 'stripe_products'),
  same_rights('stripe_products_old', 'product_categories');

-- A tier that a product already has in its metadata is its tier; all others begin as the plan's default.
CREATE FUNCTION tier_of(p_metadata jsonb) RETURNS text LANGUAGE sql IMMUTABLE SET search_path FROM CURRENT AS $$
  SELECT CASE WHEN p_metadata->>'tier' IN ('free', 'starter', 'standard', 'professional', 'enterprise') THEN p_metadata->>'tier'
    ELSE 'standard' END
$$;

CREATE FUNCTION mirror_product() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND NEW.id <> OLD.id THEN
    DELETE FROM stripe_products WHERE stripe_product_id = OLD.id;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO stripe_products (stripe_product_id, name, description, active, tier, stripe_metadata)
    VALUES (NEW.id, coalesce(NEW.name, NEW.id), NEW.description, NEW.active, tier_of(NEW.metadata), NEW.metadata)
    ON CONFLICT (stripe_product_id) DO UPDATE
    SET name = excluded.name, description = excluded.description, active = excluded.active, stripe_metadata = excluded.stripe_metadata,
        updated_at = now();
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER mirror_product AFTER INSERT OR UPDATE OR DELETE ON stripe_products_old
  FOR EACH ROW EXECUTE FUNCTION mirror_product();

-- A product without a name is called by its id: the new table takes no NULL.
INSERT INTO stripe_products (stripe_product_id, name, description, active, tier, stripe_metadata, created_at)
SELECT id, coalesce(name, id), description, active, tier_of(metadata), metadata, now() FROM stripe_products_old;
