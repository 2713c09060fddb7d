ALTER TABLE user_settings
  ADD COLUMN default_summary_style varchar(50) DEFAULT 'formal',
  ADD COLUMN default_temperature decimal(3, 2) DEFAULT 0.3,
  ADD COLUMN default_max_tokens integer DEFAULT 2000,
  ADD COLUMN show_cost_estimates boolean DEFAULT true,
  ADD COLUMN email_notifications boolean DEFAULT true,
  ADD COLUMN processing_notifications boolean DEFAULT true;
