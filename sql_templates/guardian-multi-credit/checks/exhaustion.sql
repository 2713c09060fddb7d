-- Somebody who has nothing left is refused whatever they ask for, and pays nothing; so are an unknown action and an unknown
-- organization. True where all of that holds.
SELECT set_config('gonogo.asked', (SELECT organization_id::text FROM organization_credits ORDER BY organization_id LIMIT 1), true);
UPDATE organization_credits SET credits_remaining = 0 WHERE organization_id = current_setting('gonogo.asked')::uuid;
SELECT set_config('gonogo.refused', (
  SELECT (count(*) FILTER (WHERE answer->>'error' IS DISTINCT FROM 'insufficient credits'))::text
  FROM (SELECT consume_credits_rpc(current_setting('gonogo.asked')::uuid, action_type) AS answer FROM credit_actions) AS calls
), true);
SELECT coalesce(current_setting('gonogo.refused')::integer, 1) = 0
  AND NOT EXISTS (SELECT FROM organization_credits
    WHERE organization_id = current_setting('gonogo.asked')::uuid AND credits_remaining <> 0)
  AND consume_credits_rpc(current_setting('gonogo.asked')::uuid, 'no such action')->>'success' = 'false'
  AND consume_credits_rpc('00000000-0000-0000-0000-000000000000', 'ai_chat')->>'success' = 'false'
