-- The plan drops two of the thirteen columns and leaves the trigger.
DROP TRIGGER update_users_updated_at ON users;
DROP FUNCTION update_updated_at_column();
ALTER TABLE users
  DROP COLUMN company_name,
  DROP COLUMN company_size,
  DROP COLUMN industry,
  DROP COLUMN phone,
  DROP COLUMN timezone,
  DROP COLUMN locale,
  DROP COLUMN email_verified,
  DROP COLUMN onboarding_completed,
  DROP COLUMN account_status,
  DROP COLUMN tax_ids,
  DROP COLUMN metadata,
  DROP COLUMN updated_at,
  DROP COLUMN last_seen_at;
