-- Somebody signs up, and has a plan by the end of the transaction; who then leaves takes it along. True where both hold.
INSERT INTO users (id, email) VALUES ('asked-' || pg_backend_pid(), 'asked-' || pg_backend_pid() || '@example.com');
SET CONSTRAINTS ALL IMMEDIATE;
SELECT set_config('gonogo.subscribed', (SELECT count(*)::text FROM user_subscriptions WHERE user_id = 'asked-' || pg_backend_pid()), true);
DELETE FROM users WHERE id = 'asked-' || pg_backend_pid();
SELECT current_setting('gonogo.subscribed') = '1'
  AND NOT EXISTS (SELECT FROM user_subscriptions WHERE user_id = 'asked-' || pg_backend_pid());
