ALTER TABLE sponsor_deals ADD CONSTRAINT sponsor_deals_amount CHECK (amount >= 0) NOT VALID;
