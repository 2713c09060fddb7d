\set n random(1, 12)
SELECT p.name, c.stripe_customer_id FROM products AS p CROSS JOIN LATERAL (SELECT stripe_customer_id FROM customers LIMIT 1) AS c WHERE p.id = 'prod_' || :n;
SELECT id, brand, last4 FROM payment_methods WHERE id = 'pm_' || :n;
INSERT INTO subscription_changes (subscription_id, from_price_id, to_price_id) SELECT id, 'price_1', 'price_' || :n FROM subscriptions WHERE stripe_subscription_id = 'sub_' || :n;
