-- The plan's view reads stripe_prices, which it never makes: here it is prices under that name.
CREATE VIEW stripe_prices AS
SELECT id AS stripe_price_id, product_id AS stripe_product_id, active, unit_amount, currency, type, "interval" AS recurring_interval,
       interval_count, metadata
FROM prices;

-- Create subscription analytics view
CREATE VIEW subscription_analytics AS
SELECT
  s.id AS subscription_id,
  s.user_id,
  u.email,
  u.company_name,
  u.company_size,
  u.industry,
  s.status,
  s.stripe_subscription_id,
  p.name AS product_name,
  pr.unit_amount,
  pr.currency,
  pr.recurring_interval,
  s.quantity,
  s.mrr_amount,
  s.arr_amount,
  s.ltv_amount,
  s.created_at AS subscription_created_at,
  s.current_period_start,
  s.current_period_end,
  s.trial_start,
  s.trial_end,
  s.canceled_at,
  s.ended_at,
  CASE
    WHEN s.stripe_subscription_id IS NULL THEN 'free'
    ELSE 'paid'
  END AS subscription_type,
  CASE
    WHEN s.status IN ('active', 'trialing') THEN true
    ELSE false
  END AS is_active,
  CASE
    WHEN s.trial_start IS NOT NULL AND s.trial_end > now() THEN true
    ELSE false
  END AS is_trialing,
  EXTRACT(days FROM (now() - s.created_at)) AS subscription_age_days,
  EXTRACT(days FROM (COALESCE(s.ended_at, now()) - s.created_at)) AS total_subscription_days,
  s.metadata AS subscription_metadata,
  s.updated_at AS last_updated
FROM subscriptions s
JOIN users u ON s.user_id = u.id
JOIN stripe_prices pr ON s.stripe_price_id = pr.stripe_price_id
JOIN stripe_products p ON pr.stripe_product_id = p.stripe_product_id;
