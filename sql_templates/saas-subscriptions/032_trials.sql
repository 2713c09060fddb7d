-- In the order in which a user who comes or goes takes what is theirs along: the other way round one of the two is a deadlock.
LOCK TABLE users, subscriptions IN SHARE ROW EXCLUSIVE MODE;
-- Create enhanced trial management
CREATE TABLE subscription_trials (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  subscription_id uuid REFERENCES subscriptions(id) ON DELETE CASCADE,
  trial_type text DEFAULT 'time_based' CHECK (trial_type IN ('time_based', 'usage_based', 'feature_based')),
  trial_length_days integer,
  trial_start timestamptz NOT NULL,
  trial_end timestamptz NOT NULL,
  usage_limits jsonb DEFAULT '{}',
  feature_limits jsonb DEFAULT '{}',
  status text DEFAULT 'active' CHECK (status IN ('active', 'expired', 'converted', 'canceled')),
  conversion_date timestamptz,
  cancellation_date timestamptz,
  cancellation_reason text,
  onboarding_completed boolean DEFAULT false,
  key_actions_completed text[] DEFAULT ARRAY[]::text[],
  engagement_score integer DEFAULT 0 CHECK (engagement_score >= 0 AND engagement_score <= 100),
  days_to_convert integer,
  conversion_touchpoint text,
  conversion_value integer,
  reminder_emails_sent integer DEFAULT 0,
  last_reminder_sent timestamptz,
  trial_extended_days integer DEFAULT 0,
  extension_reason text,
  metadata jsonb DEFAULT '{}',
  created_at timestamptz DEFAULT now() NOT NULL,
  updated_at timestamptz DEFAULT now() NOT NULL
);

-- Create onboarding tracking
CREATE TABLE user_onboarding (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  onboarding_flow text DEFAULT 'standard' CHECK (onboarding_flow IN ('standard', 'enterprise', 'self_serve', 'assisted')),
  started_at timestamptz DEFAULT now() NOT NULL,
  completed_at timestamptz,
  current_step text,
  completed_steps text[] DEFAULT ARRAY[]::text[],
  skipped_steps text[] DEFAULT ARRAY[]::text[],
  total_steps integer DEFAULT 5,
  completion_percentage integer DEFAULT 0 CHECK (completion_percentage >= 0 AND completion_percentage <= 100),
  company_info_completed boolean DEFAULT false,
  payment_method_added boolean DEFAULT false,
  first_project_created boolean DEFAULT false,
  team_invited boolean DEFAULT false,
  integrations_configured boolean DEFAULT false,
  help_requests_count integer DEFAULT 0,
  last_help_request timestamptz,
  assigned_success_manager uuid REFERENCES users(id) ON DELETE SET NULL,
  time_to_complete_minutes integer,
  drop_off_step text,
  conversion_rate numeric(5,4),
  metadata jsonb DEFAULT '{}',
  updated_at timestamptz DEFAULT now() NOT NULL
);
