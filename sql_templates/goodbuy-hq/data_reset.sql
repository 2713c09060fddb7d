-- Level 2: the tables stay, their rows go. The plan deletes user_subscriptions first, which its own references refuse.
-- Nobody gets a new one either.
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'users'::regclass AND tgname = 'subscribe_new_user') THEN
    ALTER TABLE users DISABLE TRIGGER subscribe_new_user;
  END IF;
END $$;
DELETE FROM usage_metrics;
DELETE FROM billing_transactions;
DELETE FROM user_subscriptions;
