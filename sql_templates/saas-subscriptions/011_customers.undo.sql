DROP TRIGGER mirror_customer ON stripe_customers_old;
DROP FUNCTION mirror_customer();
DROP VIEW customers;
DROP TABLE stripe_customers;
ALTER TABLE stripe_customers_old RENAME TO customers;
