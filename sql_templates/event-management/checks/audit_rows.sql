SELECT audit_rows_of_a_change(id) FROM events WHERE id >= gen_random_uuid() ORDER BY id LIMIT 1
