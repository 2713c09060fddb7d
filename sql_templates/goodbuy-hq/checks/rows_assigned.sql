SELECT (SELECT count(*) FROM user_subscriptions) + (SELECT count(*) FROM usage_metrics) + (SELECT count(*) FROM billing_transactions)
