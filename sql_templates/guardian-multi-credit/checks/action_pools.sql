-- Actions that are not paid from the pool that the plan says; one that the plan does not name is paid from the AI pool.
SELECT count(*) FROM credit_actions
WHERE pool IS DISTINCT FROM CASE
  WHEN action_type LIKE 'whatsapp%' THEN 'whatsapp' WHEN action_type LIKE 'email%' THEN 'email'
  WHEN action_type LIKE 'sms%' THEN 'sms' ELSE 'ai' END
