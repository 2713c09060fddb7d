-- Create product features table
CREATE TABLE product_features (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  stripe_product_id text NOT NULL REFERENCES stripe_products(stripe_product_id) ON DELETE CASCADE,
  feature_key text NOT NULL,
  feature_name text NOT NULL,
  feature_description text,
  feature_type text NOT NULL CHECK (feature_type IN ('boolean', 'limit', 'access')),
  default_value jsonb,
  limit_value integer,
  limit_period text CHECK (limit_period IN ('minute', 'hour', 'day', 'week', 'month', 'year')),
  access_levels text[] DEFAULT ARRAY['read'],
  required_permissions text[],
  category text,
  display_order integer DEFAULT 0,
  is_highlighted boolean DEFAULT false,
  metadata jsonb DEFAULT '{}',
  created_at timestamptz DEFAULT now() NOT NULL,
  UNIQUE(stripe_product_id, feature_key)
);
