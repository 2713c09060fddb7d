-- In the order in which a user who comes or goes takes what is theirs along: the other way round one of the two is a deadlock.
LOCK TABLE users, stripe_customers, payment_methods, stripe_payment_methods IN ACCESS EXCLUSIVE MODE;
DROP TRIGGER adopt_payment_methods ON stripe_customers;
DROP FUNCTION adopt_payment_methods();
DROP TRIGGER mirror_payment_method ON payment_methods;
DROP FUNCTION mirror_payment_method();
DROP TABLE stripe_payment_methods;
