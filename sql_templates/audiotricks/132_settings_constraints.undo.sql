ALTER TABLE user_settings DROP CONSTRAINT IF EXISTS user_settings_defaults;
