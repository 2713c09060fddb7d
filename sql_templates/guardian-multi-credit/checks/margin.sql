-- The lowest margin of any API over what its providers were paid, at the price of a credit in the enterprise plan; NULL (no data)
-- without consumption.
SELECT min(margin), coalesce(sum(calls), 0)
FROM (
  SELECT 1 - sum(l.cost_eur) / nullif(sum(l.credits) * (SELECT price_eur / total_credits FROM plans WHERE name = 'enterprise'), 0) AS margin,
    count(*) AS calls
  FROM credit_consumption_log AS l GROUP BY l.action_type
) AS by_api
