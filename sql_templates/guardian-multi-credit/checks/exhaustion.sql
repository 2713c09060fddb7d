-- An organization that asks for more than it has is refused, and pays nothing. Answers how many rules are broken.
WITH poor AS (
  SELECT organization_id FROM organization_credits ORDER BY organization_id LIMIT 1
), unknown AS (
  SELECT consume_credits_rpc((SELECT organization_id FROM poor), 'no such action') AS answer
), nobody AS (
  SELECT consume_credits_rpc('00000000-0000-0000-0000-000000000000', 'ai_chat') AS answer
)
SELECT (SELECT count(*) FROM unknown WHERE answer->>'success' <> 'false') + (SELECT count(*) FROM nobody WHERE answer->>'success' <> 'false')
