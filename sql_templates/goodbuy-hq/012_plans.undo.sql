DELETE FROM subscription_plans WHERE id IN ('plan-free', 'plan-professional', 'plan-enterprise', 'plan-legacy');
