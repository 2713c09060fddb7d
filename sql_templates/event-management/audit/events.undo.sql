DROP TRIGGER audit_change ON events;
