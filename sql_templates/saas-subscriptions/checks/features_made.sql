-- Products without the feature or without the metric that each begins with.
SELECT count(*) FROM stripe_products AS p
WHERE NOT EXISTS (SELECT FROM product_features AS f WHERE f.stripe_product_id = p.stripe_product_id AND f.feature_key = 'quotes_limit')
  OR NOT EXISTS (SELECT FROM usage_metrics AS m WHERE m.stripe_product_id = p.stripe_product_id AND m.metric_key = 'quotes_generated')
