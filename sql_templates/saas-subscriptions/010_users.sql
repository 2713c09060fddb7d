-- The plan's trigger calls a function that nobody made.
CREATE FUNCTION update_updated_at_column() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := now();
  RETURN NEW;
END $$;

-- One statement, one lock; without IF NOT EXISTS, which would wave a column of another type through.
ALTER TABLE users
  ADD COLUMN company_name text,
  ADD COLUMN company_size text CHECK (company_size IN ('1', '2-10', '11-50', '51-200', '201-500', '500+')),
  ADD COLUMN industry text,
  ADD COLUMN phone text,
  ADD COLUMN timezone text DEFAULT 'UTC',
  ADD COLUMN locale text DEFAULT 'en',
  ADD COLUMN email_verified boolean DEFAULT false,
  ADD COLUMN onboarding_completed boolean DEFAULT false,
  ADD COLUMN account_status text DEFAULT 'active' CHECK (account_status IN ('active', 'suspended', 'churned', 'prospect')),
  ADD COLUMN tax_ids jsonb,
  ADD COLUMN metadata jsonb DEFAULT '{}',
  ADD COLUMN updated_at timestamptz DEFAULT now(),
  ADD COLUMN last_seen_at timestamptz;

CREATE TRIGGER update_users_updated_at BEFORE UPDATE ON users
  FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
