-- In the order in which a user who comes or goes takes what is theirs along: the other way round one of the two is a deadlock.
LOCK TABLE users, customers, stripe_customers IN ACCESS EXCLUSIVE MODE;
DROP TRIGGER mirror_customer ON stripe_customers_old;
DROP FUNCTION mirror_customer();
DROP VIEW customers;
DROP TABLE stripe_customers;
ALTER TABLE stripe_customers_old RENAME TO customers;
