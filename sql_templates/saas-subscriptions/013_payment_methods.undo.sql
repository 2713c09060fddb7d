DROP TRIGGER mirror_payment_method ON payment_methods;
DROP FUNCTION mirror_payment_method();
DROP TABLE stripe_payment_methods;
