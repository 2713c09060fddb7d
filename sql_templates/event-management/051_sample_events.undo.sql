-- their tasks and what their workflows did go with them
DELETE FROM events WHERE id IN (SELECT md5('sample-event-' || n)::uuid FROM generate_series(1, 12) AS n);
DELETE FROM venues WHERE id IN (SELECT md5('sample-venue-' || n)::uuid FROM generate_series(1, 3) AS n);
DELETE FROM audit_log WHERE row_id IN (SELECT md5('sample-event-' || n)::uuid FROM generate_series(1, 12) AS n);
