-- "Add additional indexes if needed": deleting a user, a workspace, an upload or a plan would read these tables from end to end.
CREATE INDEX CONCURRENTLY idx_processing_jobs_upload ON processing_jobs (upload_id);
CREATE INDEX CONCURRENTLY idx_processing_templates_user ON processing_templates (user_id);
CREATE INDEX CONCURRENTLY idx_processing_templates_workspace ON processing_templates (workspace_id);
CREATE INDEX CONCURRENTLY idx_api_keys_workspace ON api_key_management (workspace_id);
CREATE INDEX CONCURRENTLY idx_workspace_subscriptions_workspace ON workspace_subscriptions (workspace_id);
CREATE INDEX CONCURRENTLY idx_workspace_subscriptions_plan ON workspace_subscriptions (plan_id);
CREATE INDEX CONCURRENTLY idx_billing_records_subscription ON billing_records (subscription_id);
CREATE INDEX CONCURRENTLY idx_workspace_invitations_invited_by ON workspace_invitations (invited_by_id);
