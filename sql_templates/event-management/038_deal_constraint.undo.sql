ALTER TABLE sponsor_deals DROP CONSTRAINT sponsor_deals_amount;
