-- In the order in which a user who comes or goes takes what is theirs along: the other way round one of the two is a deadlock.
LOCK TABLE users, payment_methods, subscriptions IN ACCESS EXCLUSIVE MODE;
-- The plan has no rollback for its phase 3.
ALTER TABLE subscriptions
  DROP COLUMN collection_method,
  DROP COLUMN days_until_due,
  DROP COLUMN proration_behavior,
  DROP COLUMN billing_cycle_anchor,
  DROP COLUMN cancellation_reason,
  DROP COLUMN cancellation_feedback,
  DROP COLUMN trial_days_used,
  DROP COLUMN default_payment_method,
  DROP COLUMN discount_id,
  DROP COLUMN discount_end,
  DROP COLUMN usage_based_billing,
  DROP COLUMN current_usage,
  DROP COLUMN usage_alerts,
  DROP COLUMN mrr_amount,
  DROP COLUMN arr_amount,
  DROP COLUMN ltv_amount,
  DROP COLUMN sales_rep_id,
  DROP COLUMN account_manager_id,
  DROP COLUMN last_invoice_at,
  DROP COLUMN next_billing_at;
