-- A subscription that the application made since refers to one of these; it goes with them, and is counted before. What was used
-- or paid under it keeps its row, without the reference.
UPDATE usage_metrics SET subscription_id = NULL WHERE subscription_id IN (
  SELECT id FROM user_subscriptions WHERE plan_id IN ('plan-free', 'plan-professional', 'plan-enterprise', 'plan-legacy'));
UPDATE billing_transactions SET subscription_id = NULL WHERE subscription_id IN (
  SELECT id FROM user_subscriptions WHERE plan_id IN ('plan-free', 'plan-professional', 'plan-enterprise', 'plan-legacy'));
DELETE FROM user_subscriptions WHERE plan_id IN ('plan-free', 'plan-professional', 'plan-enterprise', 'plan-legacy');
DELETE FROM subscription_plans WHERE id IN ('plan-free', 'plan-professional', 'plan-enterprise', 'plan-legacy');
