SELECT abs((SELECT count(*) FROM products) - (SELECT count(*) FROM stripe_products))
