-- Migration 10. Its tables are written by nobody yet: see 150_security.sql.
CREATE TABLE security_events (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid REFERENCES users (id) ON DELETE SET NULL,
  event_type varchar(100) NOT NULL,
  severity varchar(20) DEFAULT 'medium',
  description text,
  metadata jsonb,
  ip_address inet,
  user_agent text,
  created_at timestamp DEFAULT CURRENT_TIMESTAMP,
  resolved_at timestamp
);
CREATE INDEX idx_security_events_user ON security_events (user_id, created_at DESC);
CREATE INDEX idx_security_events_type ON security_events (event_type, created_at DESC);

CREATE TABLE audit_logs (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid REFERENCES users (id) ON DELETE SET NULL,
  workspace_id uuid REFERENCES workspaces (id) ON DELETE SET NULL,
  action varchar(100) NOT NULL,
  resource varchar(100) NOT NULL,
  resource_id uuid,
  ip_address inet,
  user_agent text,
  request_id varchar(100),
  details jsonb DEFAULT '{}',
  old_values jsonb,
  new_values jsonb,
  severity varchar(20) DEFAULT 'info',
  category varchar(50),
  created_at timestamp DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX idx_audit_logs_user ON audit_logs (user_id, created_at DESC);
CREATE INDEX idx_audit_logs_workspace ON audit_logs (workspace_id, created_at DESC);
CREATE INDEX idx_audit_logs_action ON audit_logs (action, created_at DESC);
CREATE INDEX idx_audit_logs_resource ON audit_logs (resource, created_at DESC);
