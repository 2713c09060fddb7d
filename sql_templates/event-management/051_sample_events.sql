INSERT INTO venues (id, organization_id, name, capacity)
SELECT md5('sample-venue-' || n)::uuid, md5('sample-organization-' || n)::uuid, 'Sample venue ' || n, 100 * n FROM generate_series(1, 3) AS n;
INSERT INTO events (id, organization_id, venue_id, name, start_date, end_date, status)
SELECT md5('sample-event-' || n)::uuid, md5('sample-organization-' || 1 + n % 3)::uuid, md5('sample-venue-' || 1 + n % 3)::uuid, 'Sample event ' || n,
       now() + n * interval '1 day', now() + n * interval '1 day' + interval '3 hours', 'planning'
FROM generate_series(1, 12) AS n;
-- starts a workflow of each
UPDATE events SET status = 'confirmed' WHERE id IN (SELECT md5('sample-event-' || n)::uuid FROM generate_series(1, 3) AS n);
