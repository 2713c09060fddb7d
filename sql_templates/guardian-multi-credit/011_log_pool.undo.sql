ALTER TABLE credit_consumption_log DROP COLUMN pool;
