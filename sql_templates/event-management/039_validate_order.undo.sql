-- As it was: not validated. Both at once, so no row gets in unseen.
ALTER TABLE orders DROP CONSTRAINT orders_positive, ADD CONSTRAINT orders_positive CHECK (quantity > 0 AND amount >= 0) NOT VALID;
