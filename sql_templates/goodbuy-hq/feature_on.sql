-- Level 3, taken back: what was offered before is offered again, and nothing else (Legacy stays off).
UPDATE subscription_plans SET is_active = true, was_active = NULL, updated_at = now() WHERE was_active AND NOT is_active;
