INSERT INTO ticket_categories (id, event_id, name, price, quantity_total)
SELECT md5('sample-category-' || n)::uuid, md5('sample-event-' || n)::uuid, 'Sample', 25, 100 FROM generate_series(1, 12) AS n;
INSERT INTO orders (id, organization_id, ticket_category_id, customer_email, quantity, amount, payment_id, order_status)
SELECT md5('sample-order-' || n)::uuid, e.organization_id, c.id, 'sample-' || n || '@example.com', 2, 2 * c.price, 'sample-' || n,
       CASE WHEN n % 4 = 0 THEN 'pending' ELSE 'confirmed' END
FROM generate_series(1, 60) AS n
JOIN ticket_categories AS c ON c.id = md5('sample-category-' || 1 + n % 12)::uuid JOIN events AS e ON e.id = c.event_id;
