-- A subscription that the application made since refers to one of these; it goes with them, and is counted before.
DELETE FROM user_subscriptions WHERE plan_id IN ('plan-free', 'plan-professional', 'plan-enterprise', 'plan-legacy');
DELETE FROM subscription_plans WHERE id IN ('plan-free', 'plan-professional', 'plan-enterprise', 'plan-legacy');
