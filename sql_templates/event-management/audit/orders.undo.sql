DROP TRIGGER audit_change ON orders;
