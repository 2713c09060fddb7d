-- Reads the table while others write.
ALTER TABLE orders VALIDATE CONSTRAINT orders_positive;
