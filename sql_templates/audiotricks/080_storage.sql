-- Migration 8
CREATE TABLE storage_quotas (
  workspace_id uuid PRIMARY KEY REFERENCES workspaces (id) ON DELETE CASCADE,
  max_storage_bytes bigint NOT NULL,
  max_file_count integer NOT NULL,
  max_file_size bigint NOT NULL,
  current_storage_bytes bigint DEFAULT 0,
  current_file_count integer DEFAULT 0,
  retention_days integer,
  auto_cleanup boolean DEFAULT false,
  updated_at timestamp DEFAULT CURRENT_TIMESTAMP
);
