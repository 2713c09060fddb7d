SELECT consume_credits_rpc((SELECT organization_id FROM organization_credits WHERE organization_id >= gen_random_uuid() ORDER BY 1 LIMIT 1), 'ai_chat');
