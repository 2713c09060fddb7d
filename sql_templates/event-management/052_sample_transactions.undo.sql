-- their tickets go with them
DELETE FROM orders WHERE id IN (SELECT md5('sample-order-' || n)::uuid FROM generate_series(1, 60) AS n);
DELETE FROM ticket_categories WHERE id IN (SELECT md5('sample-category-' || n)::uuid FROM generate_series(1, 12) AS n);
DELETE FROM audit_log
WHERE row_id IN (SELECT md5('sample-order-' || n)::uuid FROM generate_series(1, 60) AS n UNION ALL SELECT md5('sample-category-' || n)::uuid FROM generate_series(1, 12) AS n);
