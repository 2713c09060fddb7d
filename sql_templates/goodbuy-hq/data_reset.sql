-- Level 2: the tables stay, their rows go. The plan deletes user_subscriptions first, which its own references refuse.
DELETE FROM usage_metrics;
DELETE FROM billing_transactions;
DELETE FROM user_subscriptions;
