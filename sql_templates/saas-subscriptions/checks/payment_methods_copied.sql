SELECT abs((SELECT count(*) FROM payment_methods) - (SELECT count(*) FROM stripe_payment_methods))
