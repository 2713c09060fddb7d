-- Without CASCADE: what somebody else hung on these tables is not dropped silently.
DROP TABLE IF EXISTS usage_metrics, billing_transactions, user_subscriptions, subscription_plans;
