-- Migration 9
CREATE TABLE subscription_plans (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name varchar(100) UNIQUE NOT NULL,
  description text,
  price decimal(10, 2) NOT NULL,
  currency varchar(3) DEFAULT 'USD',
  billing_interval varchar(20) NOT NULL,
  max_api_calls bigint NOT NULL,
  max_tokens bigint NOT NULL,
  max_storage_mb bigint NOT NULL,
  max_processing_min bigint NOT NULL,
  max_workspaces integer NOT NULL,
  max_users integer NOT NULL,
  features text[] DEFAULT ARRAY[]::text[],
  is_active boolean DEFAULT true,
  created_at timestamp DEFAULT CURRENT_TIMESTAMP,
  updated_at timestamp DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE workspace_subscriptions (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  workspace_id uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
  plan_id uuid NOT NULL REFERENCES subscription_plans (id),
  status varchar(50) DEFAULT 'active',
  current_period_start timestamp NOT NULL,
  current_period_end timestamp NOT NULL,
  next_billing_date timestamp,
  stripe_subscription_id varchar(255) UNIQUE,
  stripe_customer_id varchar(255),
  created_at timestamp DEFAULT CURRENT_TIMESTAMP,
  updated_at timestamp DEFAULT CURRENT_TIMESTAMP,
  cancelled_at timestamp
);

CREATE TABLE billing_records (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  subscription_id uuid NOT NULL REFERENCES workspace_subscriptions (id) ON DELETE CASCADE,
  invoice_number varchar(100) UNIQUE NOT NULL,
  amount decimal(10, 2) NOT NULL,
  currency varchar(3) DEFAULT 'USD',
  status varchar(50) NOT NULL,
  invoice_date date NOT NULL,
  due_date date NOT NULL,
  paid_at timestamp,
  stripe_invoice_id varchar(255) UNIQUE,
  usage_details jsonb,
  created_at timestamp DEFAULT CURRENT_TIMESTAMP
);
