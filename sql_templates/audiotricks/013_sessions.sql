ALTER TABLE sessions
  ADD COLUMN ip_address inet,
  ADD COLUMN user_agent text;
