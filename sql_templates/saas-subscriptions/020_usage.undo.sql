-- In the order in which a user who comes or goes takes what is theirs along: the other way round one of the two is a deadlock.
LOCK TABLE users, subscriptions, stripe_products IN ACCESS EXCLUSIVE MODE;
DROP TABLE usage_events, user_usage_history, user_usage_current, usage_metrics;
