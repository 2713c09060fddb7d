-- Add basic features for existing products
INSERT INTO product_features (stripe_product_id, feature_key, feature_name, feature_type, default_value)
SELECT
  stripe_product_id,
  'quotes_limit',
  'Monthly Quote Limit',
  'limit',
  CASE
    WHEN tier = 'free' THEN '{"value": 5}'::jsonb
    WHEN tier = 'starter' THEN '{"value": 25}'::jsonb
    WHEN tier = 'standard' THEN '{"value": 100}'::jsonb
    WHEN tier = 'professional' THEN '{"value": 500}'::jsonb
    ELSE '{"value": -1}'::jsonb -- unlimited
  END
FROM stripe_products
ON CONFLICT (stripe_product_id, feature_key) DO NOTHING;
