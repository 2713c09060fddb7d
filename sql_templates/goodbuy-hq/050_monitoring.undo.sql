DROP MATERIALIZED VIEW IF EXISTS subscription_analytics;
DROP TABLE IF EXISTS performance_samples;
