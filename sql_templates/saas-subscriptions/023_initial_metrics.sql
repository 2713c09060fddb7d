-- Add basic usage metrics for quote generation
INSERT INTO usage_metrics (stripe_product_id, metric_key, metric_name, unit, unit_label)
SELECT DISTINCT
  stripe_product_id,
  'quotes_generated',
  'Quotes Generated',
  'count',
  'quotes'
FROM stripe_products
ON CONFLICT (stripe_product_id, metric_key) DO NOTHING;
