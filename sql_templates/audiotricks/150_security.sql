-- "Every data modification should be logged": nothing in the plan writes audit_logs. Here the tables that hold keys, plans,
-- money and policies do; in users and audio_history a trigger would copy passwords and transcripts, so there the application logs.
CREATE FUNCTION audit_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
  was jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) - ARRAY['encrypted_key', 'key_hash', 'webhook_secret'] END;
  becomes jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) - ARRAY['encrypted_key', 'key_hash', 'webhook_secret'] END;
  its jsonb := coalesce(becomes, was);
  said text := nullif(current_setting('app.user_id', true), '');
  who uuid := CASE WHEN said ~* '^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$' THEN said END;
BEGIN
  -- A user or a workspace that is being deleted cannot be referred to any more; details and values keep the ids.
  INSERT INTO audit_logs (user_id, workspace_id, action, resource, resource_id, details, old_values, new_values, category)
  VALUES (
    (SELECT u.id FROM users AS u WHERE u.id = who),
    (SELECT w.id FROM workspaces AS w WHERE w.id = (its ->> 'workspace_id')::uuid),
    lower(TG_OP), TG_TABLE_NAME, coalesce(its ->> 'id', its ->> 'workspace_id')::uuid,
    jsonb_build_object('user_id', said, 'role', session_user), was, becomes, 'data');
  RETURN NULL;
END $$;
CREATE TRIGGER audit_change AFTER INSERT OR UPDATE OR DELETE ON api_key_management FOR EACH ROW EXECUTE FUNCTION audit_change();
-- what the automation inserts is what every workspace has
CREATE TRIGGER audit_change AFTER UPDATE OR DELETE ON workspace_settings FOR EACH ROW EXECUTE FUNCTION audit_change();
CREATE TRIGGER audit_change AFTER INSERT OR UPDATE OR DELETE ON subscription_plans FOR EACH ROW EXECUTE FUNCTION audit_change();
CREATE TRIGGER audit_change AFTER INSERT OR UPDATE OR DELETE ON workspace_subscriptions FOR EACH ROW EXECUTE FUNCTION audit_change();
CREATE TRIGGER audit_change AFTER INSERT OR UPDATE OR DELETE ON billing_records FOR EACH ROW EXECUTE FUNCTION audit_change();
CREATE TRIGGER audit_change AFTER INSERT OR UPDATE OR DELETE ON data_retention_policies FOR EACH ROW EXECUTE FUNCTION audit_change();

-- "Row-level security where appropriate": keys are their user's. It does not bind the owner of the table.
CREATE POLICY own_keys ON api_key_management USING (user_id = nullif(current_setting('app.user_id', true), '')::uuid);
ALTER TABLE api_key_management ENABLE ROW LEVEL SECURITY;
