DELETE FROM usage_metrics WHERE metric_key = 'quotes_generated';
