SELECT abs((SELECT count(*) FROM customers WHERE stripe_customer_id IS NOT NULL) - (SELECT count(*) FROM stripe_customers))
