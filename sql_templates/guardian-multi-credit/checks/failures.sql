-- One call of one action for one organization, drawn by lot: true where it answers as it must, and everybody pays what it costs and
-- nothing else. Whoever has too little is refused, which is no failure.
WITH asked AS MATERIALIZED (
  SELECT c.*, a.action_type, a.credits_cost
  FROM (SELECT * FROM organization_credits WHERE organization_id >= gen_random_uuid() ORDER BY organization_id LIMIT 1 FOR UPDATE) AS c
  CROSS JOIN (SELECT * FROM credit_actions ORDER BY random() LIMIT 1) AS a
), answered AS (
  SELECT asked.*, consume_credits_rpc(organization_id, action_type) AS answer FROM asked
)
SELECT CASE
  WHEN (answer->>'success')::boolean THEN (answer->>'remaining_credits')::integer = greatest(credits_remaining - credits_cost, 0)
  ELSE answer->>'error' = 'insufficient credits' END
FROM answered
UNION ALL
-- where the lot fell behind the last organization, or there is none
SELECT true WHERE NOT EXISTS (SELECT FROM answered)
