SELECT consume_credits_rpc(
  (SELECT organization_id FROM organization_credits WHERE organization_id >= gen_random_uuid() ORDER BY 1 LIMIT 1),
  (ARRAY['ai_chat', 'whatsapp_message', 'email_send', 'sms_send'])[1 + floor(random() * 4)::integer]);
