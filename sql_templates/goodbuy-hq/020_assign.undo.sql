-- What was used or paid under a migrated subscription keeps its row, without the reference.
UPDATE usage_metrics SET subscription_id = NULL WHERE subscription_id LIKE 'migrated-%';
UPDATE billing_transactions SET subscription_id = NULL WHERE subscription_id LIKE 'migrated-%';
DELETE FROM user_subscriptions WHERE id LIKE 'migrated-%';
