-- Customers whose Stripe id is not the same in the new table.
SELECT count(*) FROM customers AS c LEFT JOIN stripe_customers AS s ON s.user_id = c.id
WHERE c.stripe_customer_id IS DISTINCT FROM s.stripe_customer_id
