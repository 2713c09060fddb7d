-- VALIDATE reads the tables while others write.
ALTER TABLE user_subscriptions VALIDATE CONSTRAINT user_subscriptions_user_id_fkey;
ALTER TABLE usage_metrics VALIDATE CONSTRAINT usage_metrics_user_id_fkey;
ALTER TABLE billing_transactions VALIDATE CONSTRAINT billing_transactions_user_id_fkey;
