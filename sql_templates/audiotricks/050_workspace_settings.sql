-- Migration 5
CREATE TABLE workspace_settings (
  workspace_id uuid PRIMARY KEY REFERENCES workspaces (id) ON DELETE CASCADE,
  default_processing_options jsonb DEFAULT '{}',
  allowed_file_types text[] DEFAULT ARRAY['mp3', 'wav', 'm4a', 'flac', 'ogg'],
  max_file_size bigint DEFAULT 157286400, -- 150 MB
  max_processing_time integer DEFAULT 3600, -- 1 hour
  allow_public_sharing boolean DEFAULT false,
  allow_guest_access boolean DEFAULT false,
  require_approval_for_uploads boolean DEFAULT false,
  webhook_url text,
  webhook_secret varchar(255),
  settings_json jsonb DEFAULT '{}',
  updated_at timestamp DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE processing_templates (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  workspace_id uuid REFERENCES workspaces (id) ON DELETE CASCADE,
  name varchar(100) NOT NULL,
  description text,
  summary_style varchar(50) DEFAULT 'formal',
  temperature decimal(3, 2) DEFAULT 0.3,
  max_tokens integer DEFAULT 2000,
  language varchar(10) DEFAULT 'en',
  config_json jsonb DEFAULT '{}',
  is_public boolean DEFAULT false,
  created_at timestamp DEFAULT CURRENT_TIMESTAMP,
  updated_at timestamp DEFAULT CURRENT_TIMESTAMP
);
