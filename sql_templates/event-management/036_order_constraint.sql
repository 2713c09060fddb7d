-- NOT VALID takes its lock for a moment; 039 reads it in a transaction of its own, while others write.
ALTER TABLE orders ADD CONSTRAINT orders_positive CHECK (quantity > 0 AND amount >= 0) NOT VALID;
