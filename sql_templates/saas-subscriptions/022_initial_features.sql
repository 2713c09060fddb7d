-- Each product begins with its feature: those that are there, and those that the application adds.
CREATE FUNCTION quote_limit_of(p_tier text) RETURNS jsonb LANGUAGE sql IMMUTABLE SET search_path FROM CURRENT AS $$
  SELECT CASE p_tier
    WHEN 'free' THEN '{"value": 5}'::jsonb
    WHEN 'starter' THEN '{"value": 25}'::jsonb
    WHEN 'standard' THEN '{"value": 100}'::jsonb
    WHEN 'professional' THEN '{"value": 500}'::jsonb
    ELSE '{"value": -1}'::jsonb -- unlimited
  END
$$;

CREATE FUNCTION begin_with_features() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO product_features (stripe_product_id, feature_key, feature_name, feature_type, default_value)
  VALUES (NEW.stripe_product_id, 'quotes_limit', 'Monthly Quote Limit', 'limit', quote_limit_of(NEW.tier))
  ON CONFLICT (stripe_product_id, feature_key) DO NOTHING;
  RETURN NULL;
END $$;
CREATE TRIGGER begin_with_features AFTER INSERT ON stripe_products FOR EACH ROW EXECUTE FUNCTION begin_with_features();

INSERT INTO product_features (stripe_product_id, feature_key, feature_name, feature_type, default_value)
SELECT stripe_product_id, 'quotes_limit', 'Monthly Quote Limit', 'limit', quote_limit_of(tier)
FROM stripe_products
ON CONFLICT (stripe_product_id, feature_key) DO NOTHING;
