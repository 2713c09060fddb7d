SELECT s.id, s.status, p.name FROM subscriptions AS s JOIN prices AS r ON r.id = s.stripe_price_id JOIN products AS p ON p.id = r.product_id
WHERE s.stripe_subscription_id IN ('sub_7', 'sub_77', 'sub_777')
