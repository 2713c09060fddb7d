ALTER TABLE credit_consumption_log ADD COLUMN pool text;
