DROP TRIGGER audit_change ON ticket_categories;
