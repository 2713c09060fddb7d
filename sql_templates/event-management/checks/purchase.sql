-- "Should process complete ticket purchase flow": an order, its payment, and how many tickets come of it.
SELECT confirm_payment((
  SELECT 'test-purchase' FROM purchase_tickets(
    (SELECT c.id FROM ticket_categories AS c WHERE c.id >= gen_random_uuid() ORDER BY c.id LIMIT 1), 3, 'test@example.com', 'test-purchase')))
