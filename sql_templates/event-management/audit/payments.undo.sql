DROP TRIGGER audit_change ON payments;
