DROP TRIGGER begin_with_metrics ON stripe_products;
DROP FUNCTION begin_with_metrics();
DELETE FROM usage_metrics WHERE metric_key = 'quotes_generated';
