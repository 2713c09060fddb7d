-- What the five phases make and is not there or not valid: references and rules, and indexes.
SELECT
  (SELECT count(*) FROM (VALUES
     ('user_subscriptions', 'user_subscriptions_plan_id_fkey'), ('user_subscriptions', 'user_subscriptions_user_id_fkey'),
     ('user_subscriptions', 'user_subscriptions_stripe_subscription_id_key'),
     ('usage_metrics', 'usage_metrics_subscription_id_fkey'), ('usage_metrics', 'usage_metrics_user_id_fkey'),
     ('billing_transactions', 'billing_transactions_subscription_id_fkey'), ('billing_transactions', 'billing_transactions_user_id_fkey'),
     ('ai_analysis_sessions', 'ai_analysis_sessions_user_id_fkey'), ('ai_analysis_sessions', 'ai_analysis_sessions_business_id_fkey'),
     ('portfolios', 'portfolios_user_id_fkey'), ('portfolio_businesses', 'portfolio_businesses_portfolio_id_fkey'),
     ('portfolio_businesses', 'portfolio_businesses_business_id_fkey'),
     ('portfolio_businesses', 'portfolio_businesses_portfolio_id_business_id_key'),
     ('generated_reports', 'generated_reports_user_id_fkey'), ('generated_reports', 'generated_reports_business_id_fkey'),
     ('generated_reports', 'generated_reports_portfolio_id_fkey'), ('performance_samples', 'performance_samples_took_ms_check')
   ) AS made (of, name)
   WHERE NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conrelid = to_regclass(made.of) AND k.conname = made.name AND k.convalidated))
  + (SELECT count(*) FROM (VALUES ('idx_user_subscriptions_user_id'), ('idx_usage_metrics_user_date'), ('idx_ai_sessions_user_status'),
       ('idx_portfolios_user_default')) AS made (name)
     WHERE NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(made.name) AND indisvalid))
