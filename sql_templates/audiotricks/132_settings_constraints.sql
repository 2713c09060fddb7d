ALTER TABLE user_settings ADD CONSTRAINT user_settings_defaults
  CHECK (default_temperature BETWEEN 0 AND 2 AND default_max_tokens > 0) NOT VALID;
