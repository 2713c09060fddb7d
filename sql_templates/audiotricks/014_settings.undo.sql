ALTER TABLE user_settings
  DROP COLUMN default_summary_style,
  DROP COLUMN default_temperature,
  DROP COLUMN default_max_tokens,
  DROP COLUMN show_cost_estimates,
  DROP COLUMN email_notifications,
  DROP COLUMN processing_notifications;
