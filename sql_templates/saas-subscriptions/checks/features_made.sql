SELECT abs((SELECT count(*) FROM product_features) - (SELECT count(*) FROM stripe_products))
