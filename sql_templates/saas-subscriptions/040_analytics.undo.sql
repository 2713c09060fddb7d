-- The plan has no rollback for its phase 4.
DROP VIEW subscription_analytics;
DROP VIEW stripe_prices;
