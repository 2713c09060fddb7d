-- The same of its metric.
CREATE FUNCTION begin_with_metrics() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO usage_metrics (stripe_product_id, metric_key, metric_name, unit, unit_label)
  VALUES (NEW.stripe_product_id, 'quotes_generated', 'Quotes Generated', 'count', 'quotes')
  ON CONFLICT (stripe_product_id, metric_key) DO NOTHING;
  RETURN NULL;
END $$;
CREATE TRIGGER begin_with_metrics AFTER INSERT ON stripe_products FOR EACH ROW EXECUTE FUNCTION begin_with_metrics();

INSERT INTO usage_metrics (stripe_product_id, metric_key, metric_name, unit, unit_label)
SELECT stripe_product_id, 'quotes_generated', 'Quotes Generated', 'count', 'quotes'
FROM stripe_products
ON CONFLICT (stripe_product_id, metric_key) DO NOTHING;
