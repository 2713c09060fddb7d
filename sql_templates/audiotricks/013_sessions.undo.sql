ALTER TABLE sessions
  DROP COLUMN ip_address,
  DROP COLUMN user_agent;
