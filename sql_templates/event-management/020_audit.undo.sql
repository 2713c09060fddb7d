DROP FUNCTION audit_rows_of_a_change(uuid), audit_trail(uuid), audit_change();
