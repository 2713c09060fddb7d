-- "Should process complete ticket purchase flow": an order, its payment, and how many tickets come of it.
WITH payment AS MATERIALIZED (SELECT 'test-' || gen_random_uuid() AS id)
SELECT confirm_payment((
  SELECT p.id FROM payment AS p
  CROSS JOIN purchase_tickets((SELECT c.id FROM ticket_categories AS c WHERE c.id >= gen_random_uuid() ORDER BY c.id LIMIT 1), 3, 'test@example.com', p.id)))
