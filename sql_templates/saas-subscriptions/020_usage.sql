-- In the order in which a user who comes or goes takes what is theirs along: the other way round one of the two is a deadlock.
LOCK TABLE users, subscriptions, stripe_products IN SHARE ROW EXCLUSIVE MODE;
-- Create usage metrics definitions
CREATE TABLE usage_metrics (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  stripe_product_id text NOT NULL REFERENCES stripe_products(stripe_product_id) ON DELETE CASCADE,
  metric_key text NOT NULL,
  metric_name text NOT NULL,
  metric_description text,
  unit text NOT NULL,
  unit_label text,
  aggregation_method text DEFAULT 'sum' CHECK (aggregation_method IN ('sum', 'max', 'last_during_period', 'max_during_period')),
  is_billable boolean DEFAULT true,
  overage_pricing jsonb,
  soft_limit integer,
  hard_limit integer,
  alert_thresholds integer[],
  display_order integer DEFAULT 0,
  is_visible_to_user boolean DEFAULT true,
  chart_type text DEFAULT 'line' CHECK (chart_type IN ('line', 'bar', 'gauge', 'counter')),
  metadata jsonb DEFAULT '{}',
  created_at timestamptz DEFAULT now() NOT NULL,
  UNIQUE(stripe_product_id, metric_key)
);

-- Create current usage tracking
CREATE TABLE user_usage_current (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  subscription_id uuid NOT NULL REFERENCES subscriptions(id) ON DELETE CASCADE,
  metric_id uuid NOT NULL REFERENCES usage_metrics(id) ON DELETE CASCADE,
  usage_amount numeric(15,4) NOT NULL DEFAULT 0,
  last_reported_at timestamptz DEFAULT now(),
  period_start timestamptz NOT NULL,
  period_end timestamptz NOT NULL,
  usage_breakdown jsonb DEFAULT '{}',
  included_amount numeric(15,4) DEFAULT 0,
  overage_amount numeric(15,4) DEFAULT 0,
  overage_cost integer DEFAULT 0,
  metadata jsonb DEFAULT '{}',
  updated_at timestamptz DEFAULT now() NOT NULL,
  UNIQUE(user_id, metric_id, period_start)
);

-- Create historical usage tracking
CREATE TABLE user_usage_history (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  subscription_id uuid NOT NULL REFERENCES subscriptions(id) ON DELETE CASCADE,
  metric_id uuid NOT NULL REFERENCES usage_metrics(id) ON DELETE CASCADE,
  usage_amount numeric(15,4) NOT NULL,
  included_amount numeric(15,4) DEFAULT 0,
  overage_amount numeric(15,4) DEFAULT 0,
  overage_cost integer DEFAULT 0,
  period_start timestamptz NOT NULL,
  period_end timestamptz NOT NULL,
  period_type text DEFAULT 'month' CHECK (period_type IN ('day', 'week', 'month', 'year')),
  billed_at timestamptz,
  stripe_invoice_id text,
  stripe_invoice_item_id text,
  usage_breakdown jsonb DEFAULT '{}',
  metadata jsonb DEFAULT '{}',
  created_at timestamptz DEFAULT now() NOT NULL
);

-- Create real-time usage events
CREATE TABLE usage_events (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  metric_id uuid NOT NULL REFERENCES usage_metrics(id) ON DELETE CASCADE,
  usage_amount numeric(15,4) NOT NULL DEFAULT 1,
  event_timestamp timestamptz DEFAULT now() NOT NULL,
  source text,
  source_id text,
  session_id text,
  request_id text,
  ip_address inet,
  user_agent text,
  country_code text,
  feature_used text,
  plan_tier text,
  metadata jsonb DEFAULT '{}',
  -- date(timestamptz) depends on the session's zone, so PostgreSQL refuses it here (42P17)
  created_date date GENERATED ALWAYS AS ((event_timestamp AT TIME ZONE 'UTC')::date) STORED
);
