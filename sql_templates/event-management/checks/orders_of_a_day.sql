SELECT count(*) FROM orders WHERE created_at > now() - interval '1 day' AND order_status = 'confirmed'
