DROP INDEX CONCURRENTLY IF EXISTS idx_workspace_invitations_invited_by;
DROP INDEX CONCURRENTLY IF EXISTS idx_billing_records_subscription;
DROP INDEX CONCURRENTLY IF EXISTS idx_workspace_subscriptions_plan;
DROP INDEX CONCURRENTLY IF EXISTS idx_workspace_subscriptions_workspace;
DROP INDEX CONCURRENTLY IF EXISTS idx_api_keys_workspace;
DROP INDEX CONCURRENTLY IF EXISTS idx_processing_templates_workspace;
DROP INDEX CONCURRENTLY IF EXISTS idx_processing_templates_user;
DROP INDEX CONCURRENTLY IF EXISTS idx_processing_jobs_upload;
