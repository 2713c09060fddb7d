SELECT count(*) FROM subscription_plans WHERE is_active
