-- NOT VALID takes its lock for a moment; VALIDATE reads the table while others write.
ALTER TABLE user_subscriptions ADD CONSTRAINT user_subscriptions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE NOT VALID;
ALTER TABLE usage_metrics ADD CONSTRAINT usage_metrics_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE NOT VALID;
ALTER TABLE billing_transactions ADD CONSTRAINT billing_transactions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID;
ALTER TABLE user_subscriptions VALIDATE CONSTRAINT user_subscriptions_user_id_fkey;
ALTER TABLE usage_metrics VALIDATE CONSTRAINT usage_metrics_user_id_fkey;
ALTER TABLE billing_transactions VALIDATE CONSTRAINT billing_transactions_user_id_fkey;
