-- What the plan's load test asks of the API, as far as it is the database's: an event, a purchase, its payment. Nothing of it stays.
\set n random(1, 1000000000)
BEGIN;
INSERT INTO events (organization_id, name, start_date, end_date) VALUES ('00000000-0000-4000-8000-00000000c0de', 'Load Test Event', '2026-12-01T10:00:00Z', '2026-12-01T18:00:00Z') RETURNING id AS event \gset
INSERT INTO ticket_categories (event_id, name, price) VALUES (':event', 'Load test', 10) RETURNING id AS category \gset
SELECT purchase_tickets(':category', 2, 'test@example.com', 'load-test-' || :client_id || '-' || :n);
SELECT confirm_payment('load-test-' || :client_id || '-' || :n);
ROLLBACK;
