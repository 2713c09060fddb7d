ALTER TABLE sponsor_deals VALIDATE CONSTRAINT sponsor_deals_amount;
