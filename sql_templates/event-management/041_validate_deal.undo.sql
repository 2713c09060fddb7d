ALTER TABLE sponsor_deals DROP CONSTRAINT sponsor_deals_amount, ADD CONSTRAINT sponsor_deals_amount CHECK (amount >= 0) NOT VALID;
