INSERT INTO events (name, organization_id, start_date, end_date)
VALUES ('Load Test Event', '00000000-0000-4000-8000-00000000c0de', '2026-12-01T10:00:00Z', '2026-12-01T18:00:00Z')
RETURNING id
