-- The new form of call: the share of calls that name the action's own pool and are not answered, or name another one and are not
-- refused; and how many calls that is.
SELECT count(*) FILTER (WHERE CASE WHEN own THEN (answer->>'success') IS DISTINCT FROM 'true' AND
    (answer->>'error') IS DISTINCT FROM 'insufficient credits' ELSE (answer->>'success') IS DISTINCT FROM 'false' END)::numeric
  / count(*), count(*)
FROM (
  SELECT p.pool = a.pool AS own, consume_credits_rpc(c.organization_id, a.action_type, p.pool) AS answer
  FROM (SELECT organization_id FROM organization_credits WHERE organization_id >= gen_random_uuid() ORDER BY 1 LIMIT 9) AS c
  CROSS JOIN credit_actions AS a CROSS JOIN (VALUES ('ai'), ('whatsapp'), ('email'), ('sms')) AS p (pool)
) AS calls
