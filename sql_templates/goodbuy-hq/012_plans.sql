-- The plan names Free; Legacy is what former customers keep and nobody can choose any more.
INSERT INTO subscription_plans (id, name, description, price, billing_period, ai_analysis_limit, features, is_active)
VALUES ('plan-free', 'Free', 'For everyone', 0, 'monthly', 3, '{"reports": false}', true),
       ('plan-professional', 'Professional', NULL, 49, 'monthly', 100, '{"reports": true}', true),
       ('plan-enterprise', 'Enterprise', NULL, 1990, 'yearly', NULL, '{"reports": true, "branding": true}', true),
       ('plan-legacy', 'Legacy', 'Not offered any more', 19, 'monthly', 20, '{"reports": false}', false);
