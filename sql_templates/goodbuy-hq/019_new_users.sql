-- Whoever signs up from now on has the Free plan too, unless the application gives another one by the end of the transaction.
CREATE FUNCTION subscribe_new_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO user_subscriptions (id, user_id, plan_id, status, current_period_start)
  SELECT 'migrated-' || NEW.id, NEW.id, 'plan-free', 'active', now()
  WHERE EXISTS (SELECT FROM users WHERE id = NEW.id) AND NOT EXISTS (SELECT FROM user_subscriptions WHERE user_id = NEW.id)
  ON CONFLICT (id) DO NOTHING;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER subscribe_new_user AFTER INSERT ON users DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION subscribe_new_user();
