-- Level 3: nothing new can be chosen, nothing is deleted. What was offered is remembered first.
UPDATE subscription_plans SET was_active = is_active, is_active = false, updated_at = now() WHERE is_active;
