-- Migration 2. The indexes are built on tables that this script makes, which nobody uses yet.
CREATE TABLE audio_uploads (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  workspace_id uuid REFERENCES workspaces (id) ON DELETE CASCADE,
  original_filename varchar(500) NOT NULL,
  file_size bigint NOT NULL,
  file_type varchar(50) NOT NULL,
  mime_type varchar(100) NOT NULL,
  duration decimal(10, 3),
  sample_rate integer,
  channels integer,
  bitrate integer,
  storage_provider varchar(50) DEFAULT 'local',
  storage_path text NOT NULL,
  storage_url text,
  checksum_md5 varchar(32),
  checksum_sha256 varchar(64),
  status varchar(50) DEFAULT 'uploaded',
  uploaded_at timestamp DEFAULT CURRENT_TIMESTAMP,
  processing_started_at timestamp,
  completed_at timestamp,
  created_at timestamp DEFAULT CURRENT_TIMESTAMP,
  updated_at timestamp DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX idx_audio_uploads_user_uploaded ON audio_uploads (user_id, uploaded_at DESC);
CREATE INDEX idx_audio_uploads_workspace_uploaded ON audio_uploads (workspace_id, uploaded_at DESC);
CREATE INDEX idx_audio_uploads_status ON audio_uploads (status);

CREATE TABLE processing_jobs (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  upload_id uuid NOT NULL REFERENCES audio_uploads (id) ON DELETE CASCADE,
  job_type varchar(50) NOT NULL,
  priority integer DEFAULT 5,
  processing_options jsonb DEFAULT '{}',
  status varchar(50) DEFAULT 'queued',
  -- a share: 10 is already a numeric field overflow (22003), and 130_audio_constraints.sql refuses what is above 1
  progress decimal(3, 2) DEFAULT 0.0,
  cpu_time_ms bigint,
  memory_usage_mb integer,
  queued_at timestamp DEFAULT CURRENT_TIMESTAMP,
  started_at timestamp,
  completed_at timestamp,
  error_message text,
  retry_count integer DEFAULT 0,
  max_retries integer DEFAULT 3
);
CREATE INDEX idx_processing_jobs_queue ON processing_jobs (status, priority, queued_at);
CREATE INDEX idx_processing_jobs_user ON processing_jobs (user_id, queued_at DESC);

CREATE TABLE audio_segments (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  history_id uuid NOT NULL REFERENCES audio_history (id) ON DELETE CASCADE,
  segment_index integer NOT NULL,
  start_time decimal(10, 3) NOT NULL,
  end_time decimal(10, 3) NOT NULL,
  text text NOT NULL,
  confidence decimal(4, 3),
  language varchar(10),
  speaker_id varchar(50),
  emotion varchar(50),
  sentiment varchar(50),
  tokens integer[],
  logprobs decimal[],
  temperature decimal(3, 2),
  avg_logprob decimal(10, 6),
  compression_ratio decimal(5, 3),
  no_speech_prob decimal(4, 3)
);
CREATE INDEX idx_audio_segments_history ON audio_segments (history_id, segment_index);

CREATE TABLE audio_chunks (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  upload_id uuid NOT NULL REFERENCES audio_uploads (id) ON DELETE CASCADE,
  chunk_index integer NOT NULL,
  start_time decimal(10, 3) NOT NULL,
  end_time decimal(10, 3) NOT NULL,
  file_size bigint NOT NULL,
  storage_path text NOT NULL,
  checksum_md5 varchar(32),
  status varchar(50) DEFAULT 'pending',
  processed_at timestamp
);
CREATE INDEX idx_audio_chunks_upload ON audio_chunks (upload_id, chunk_index);
