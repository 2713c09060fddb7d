\set n random(1, 1000)
SELECT id, name FROM events WHERE organization_id = (SELECT organization_id FROM venues WHERE id = md5('venue-' || :n % 100 || '-1')::uuid) AND start_date > now();
SELECT name, price, quantity_total - quantity_sold FROM ticket_categories WHERE event_id = md5('event-' || :n)::uuid;
INSERT INTO orders (organization_id, ticket_category_id, customer_email, quantity, amount) SELECT e.organization_id, c.id, 'late@example.com', 2, 2 * c.price FROM ticket_categories AS c JOIN events AS e ON e.id = c.event_id WHERE c.id = md5('category-' || :n)::uuid;
