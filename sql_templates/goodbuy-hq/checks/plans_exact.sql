-- Plans that are not what 012_plans.sql made them, and names that are there twice.
SELECT
  (SELECT count(*) FROM (VALUES
     ('plan-free', 'Free', 'For everyone', 0::numeric, 'monthly', 3, '{"reports": false}', true),
     ('plan-professional', 'Professional', NULL, 49, 'monthly', 100, '{"reports": true}', true),
     ('plan-enterprise', 'Enterprise', NULL, 1990, 'yearly', NULL, '{"reports": true, "branding": true}', true),
     ('plan-legacy', 'Legacy', 'Not offered any more', 19, 'monthly', 20, '{"reports": false}', false)
   ) AS v (id, name, description, price, billing_period, ai_analysis_limit, features, is_active)
   LEFT JOIN subscription_plans AS p ON p.id = v.id
   WHERE (p.name, p.description, p.price, p.billing_period, p.ai_analysis_limit, p.features::text, p.is_active)
     IS DISTINCT FROM (v.name, v.description, v.price, v.billing_period, v.ai_analysis_limit, v.features, v.is_active))
  + (SELECT count(*) - count(DISTINCT name) FROM subscription_plans)
