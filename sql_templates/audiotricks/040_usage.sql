-- Migration 4
CREATE TABLE usage_metrics (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  workspace_id uuid REFERENCES workspaces (id) ON DELETE CASCADE,
  metric_type varchar(50) NOT NULL,
  provider varchar(50),
  quantity bigint NOT NULL,
  cost decimal(10, 4) NOT NULL,
  currency varchar(3) DEFAULT 'USD',
  metadata jsonb DEFAULT '{}',
  period_start timestamp NOT NULL,
  period_end timestamp NOT NULL,
  recorded_at timestamp DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX idx_usage_metrics_user_type ON usage_metrics (user_id, metric_type, period_start DESC);
CREATE INDEX idx_usage_metrics_workspace_type ON usage_metrics (workspace_id, metric_type, period_start DESC);
CREATE INDEX idx_usage_metrics_recorded ON usage_metrics (recorded_at DESC);

CREATE TABLE user_quotas (
  user_id uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
  monthly_api_calls bigint DEFAULT 1000,
  monthly_tokens bigint DEFAULT 100000,
  monthly_storage_mb bigint DEFAULT 1024,
  monthly_processing_min bigint DEFAULT 60,
  current_api_calls bigint DEFAULT 0,
  current_tokens bigint DEFAULT 0,
  current_storage_mb bigint DEFAULT 0,
  current_processing_min bigint DEFAULT 0,
  period_start timestamp NOT NULL,
  period_end timestamp NOT NULL,
  last_reset_at timestamp DEFAULT CURRENT_TIMESTAMP,
  allow_overages boolean DEFAULT false,
  overage_cost_per_token decimal(10, 8) DEFAULT 0.0001
);
