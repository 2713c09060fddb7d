DROP TRIGGER audit_change ON sponsor_deals;
