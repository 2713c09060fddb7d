ALTER TABLE credit_actions DROP COLUMN pool;
