-- In the order in which a user who comes or goes takes what is theirs along: the other way round one of the two is a deadlock.
LOCK TABLE users, payment_methods IN SHARE ROW EXCLUSIVE MODE;
ALTER TABLE subscriptions
  ADD COLUMN collection_method text DEFAULT 'charge_automatically' CHECK (collection_method IN ('charge_automatically', 'send_invoice')),
  ADD COLUMN days_until_due integer,
  ADD COLUMN proration_behavior text DEFAULT 'create_prorations' CHECK (proration_behavior IN ('none', 'create_prorations', 'always_invoice')),
  ADD COLUMN billing_cycle_anchor timestamptz,
  ADD COLUMN cancellation_reason text CHECK (cancellation_reason IN ('user_requested', 'payment_failed', 'fraud', 'policy_violation', 'other')),
  ADD COLUMN cancellation_feedback text,
  ADD COLUMN trial_days_used integer DEFAULT 0,
  ADD COLUMN default_payment_method text REFERENCES payment_methods(id) ON DELETE SET NULL,
  ADD COLUMN discount_id text,
  ADD COLUMN discount_end timestamptz,
  ADD COLUMN usage_based_billing boolean DEFAULT false,
  ADD COLUMN current_usage jsonb DEFAULT '{}',
  ADD COLUMN usage_alerts jsonb DEFAULT '{}',
  ADD COLUMN mrr_amount integer,
  ADD COLUMN arr_amount integer,
  ADD COLUMN ltv_amount integer,
  ADD COLUMN sales_rep_id uuid REFERENCES users(id) ON DELETE SET NULL,
  ADD COLUMN account_manager_id uuid REFERENCES users(id) ON DELETE SET NULL,
  ADD COLUMN last_invoice_at timestamptz,
  ADD COLUMN next_billing_at timestamptz;
