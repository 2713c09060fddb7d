-- In the order in which a user who comes or goes takes what is theirs along: the other way round one of the two is a deadlock.
LOCK TABLE users, subscriptions IN ACCESS EXCLUSIVE MODE;
DROP TABLE user_onboarding, subscription_trials;
