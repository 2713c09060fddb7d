SELECT count(*) FROM audit_log WHERE old_row ?| ARRAY['customer_email', 'payment_id'] OR new_row ?| ARRAY['customer_email', 'payment_id']
