DROP TRIGGER audit_change ON organizations;
