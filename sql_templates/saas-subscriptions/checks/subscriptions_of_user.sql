-- One subscription, drawn by lot, with its price and product.
SELECT s.id, s.status, p.name FROM subscriptions AS s JOIN prices AS r ON r.id = s.stripe_price_id JOIN products AS p ON p.id = r.product_id
WHERE s.stripe_subscription_id = coalesce(
  (SELECT stripe_subscription_id FROM subscriptions WHERE stripe_subscription_id >= 'sub_' || substr(md5(random()::text), 1, 6) ORDER BY 1 LIMIT 1),
  (SELECT min(stripe_subscription_id) FROM subscriptions))
