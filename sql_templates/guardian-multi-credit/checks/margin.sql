-- The margin over what providers were paid, at the price of a credit in the enterprise plan; NULL (no data) without consumption.
SELECT 1 - sum(l.cost_eur) / nullif(sum(l.credits) * (SELECT price_eur / total_credits FROM plans WHERE name = 'enterprise'), 0), count(*)
FROM credit_consumption_log AS l WHERE l.action_type IN ('ai_chat', 'email_send')
