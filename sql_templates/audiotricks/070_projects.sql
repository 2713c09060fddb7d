-- Migration 7
CREATE TABLE audio_projects (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  workspace_id uuid REFERENCES workspaces (id) ON DELETE CASCADE,
  name varchar(200) NOT NULL,
  description text,
  color varchar(7) DEFAULT '#3B82F6',
  status varchar(50) DEFAULT 'active',
  is_public boolean DEFAULT false,
  tags text[] DEFAULT ARRAY[]::text[],
  metadata jsonb DEFAULT '{}',
  created_at timestamp DEFAULT CURRENT_TIMESTAMP,
  updated_at timestamp DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX idx_audio_projects_user ON audio_projects (user_id, created_at DESC);
CREATE INDEX idx_audio_projects_workspace ON audio_projects (workspace_id, created_at DESC);
