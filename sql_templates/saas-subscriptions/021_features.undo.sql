-- In the order in which what comes or goes takes its own along: the other way round one of the two is a deadlock.
LOCK TABLE stripe_products IN ACCESS EXCLUSIVE MODE;
DROP TABLE product_features;
