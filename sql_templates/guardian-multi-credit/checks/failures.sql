-- The share of calls that do not answer as they must, and how many calls that is.
SELECT count(*) FILTER (WHERE (answer->>'success') IS DISTINCT FROM 'true' OR (answer->>'remaining_credits') IS NULL)::numeric / count(*), count(*)
FROM (
  SELECT consume_credits_rpc(c.organization_id, a.action_type) AS answer
  FROM (SELECT organization_id FROM organization_credits WHERE total_credits > 100 AND organization_id >= gen_random_uuid() ORDER BY 1 LIMIT 17) AS c
  CROSS JOIN (VALUES ('ai_chat'), ('whatsapp_message'), ('email_send')) AS a (action_type)
) AS calls
