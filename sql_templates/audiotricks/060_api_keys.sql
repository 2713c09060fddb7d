-- Migration 6
CREATE TABLE api_key_management (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  workspace_id uuid REFERENCES workspaces (id) ON DELETE CASCADE,
  provider varchar(50) NOT NULL,
  key_name varchar(100) NOT NULL,
  encrypted_key text NOT NULL,
  key_hash varchar(255) NOT NULL,
  is_active boolean DEFAULT true,
  last_used_at timestamp,
  expires_at timestamp,
  total_requests bigint DEFAULT 0,
  total_tokens bigint DEFAULT 0,
  total_cost decimal(10, 4) DEFAULT 0.0,
  created_at timestamp DEFAULT CURRENT_TIMESTAMP,
  updated_at timestamp DEFAULT CURRENT_TIMESTAMP,
  UNIQUE (user_id, provider, key_name)
);
CREATE INDEX idx_api_keys_provider_active ON api_key_management (provider, is_active);
