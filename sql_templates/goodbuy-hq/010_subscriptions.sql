-- As the plan's actions say: without foreign keys to what is in use; they follow with phase 2, when every row is there.
CREATE TABLE subscription_plans (
  id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
  name varchar NOT NULL,
  description text,
  price decimal(10, 2) NOT NULL,
  billing_period varchar NOT NULL,
  ai_analysis_limit integer,
  features json NOT NULL,
  is_active boolean DEFAULT true,
  -- what feature_off.sql found, so that switching on again brings back the same plans and no others
  was_active boolean,
  created_at timestamp DEFAULT now(),
  updated_at timestamp DEFAULT now()
);

CREATE TABLE user_subscriptions (
  id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id varchar NOT NULL,
  plan_id varchar NOT NULL REFERENCES subscription_plans (id),
  stripe_subscription_id varchar UNIQUE,
  stripe_customer_id varchar,
  status varchar NOT NULL DEFAULT 'active',
  current_period_start timestamp,
  current_period_end timestamp,
  trial_end timestamp,
  created_at timestamp DEFAULT now(),
  updated_at timestamp DEFAULT now()
);

CREATE TABLE usage_metrics (
  id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id varchar NOT NULL,
  subscription_id varchar REFERENCES user_subscriptions (id),
  metric_type varchar NOT NULL,
  count integer DEFAULT 1,
  metadata json,
  created_at timestamp DEFAULT now(),
  date date DEFAULT current_date
);

CREATE TABLE billing_transactions (
  id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id varchar NOT NULL,
  subscription_id varchar REFERENCES user_subscriptions (id),
  stripe_payment_intent_id varchar,
  amount decimal(10, 2) NOT NULL,
  currency varchar DEFAULT 'USD',
  status varchar NOT NULL,
  transaction_type varchar NOT NULL,
  metadata json,
  created_at timestamp DEFAULT now()
);
