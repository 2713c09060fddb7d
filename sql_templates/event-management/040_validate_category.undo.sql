ALTER TABLE ticket_categories DROP CONSTRAINT ticket_categories_amounts, ADD CONSTRAINT ticket_categories_amounts CHECK (price >= 0 AND quantity_total >= 0 AND quantity_sold >= 0) NOT VALID;
