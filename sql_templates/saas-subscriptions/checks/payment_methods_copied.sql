-- Payment methods that are not the same in the new table, value by value, or belong to another customer there.
SELECT count(*) FROM payment_methods AS p LEFT JOIN stripe_payment_methods AS s USING (id) LEFT JOIN stripe_customers AS c ON c.user_id = p.user_id
WHERE s.id IS NULL OR (p.user_id, p.type, p.brand, p.last4, p.is_default, p.created_at, c.stripe_customer_id)
  IS DISTINCT FROM (s.user_id, s.type, s.card_brand, s.card_last4, s.is_default, s.created_at, s.stripe_customer_id)
