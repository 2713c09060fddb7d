DROP TRIGGER audit_change ON organization_members;
