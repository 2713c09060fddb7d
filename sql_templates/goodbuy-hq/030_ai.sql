CREATE TABLE ai_analysis_sessions (
  id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id varchar NOT NULL REFERENCES users (id),
  business_id varchar NOT NULL REFERENCES businesses (id),
  session_type varchar NOT NULL,
  status varchar NOT NULL DEFAULT 'pending',
  progress_percentage integer DEFAULT 0,
  streaming_data json,
  results json,
  confidence_score integer,
  processing_time_ms integer,
  created_at timestamp DEFAULT now(),
  completed_at timestamp
);

CREATE TABLE portfolios (
  id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id varchar NOT NULL REFERENCES users (id),
  name varchar NOT NULL,
  description text,
  is_default boolean DEFAULT false,
  created_at timestamp DEFAULT now(),
  updated_at timestamp DEFAULT now()
);

CREATE TABLE portfolio_businesses (
  id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
  portfolio_id varchar NOT NULL REFERENCES portfolios (id) ON DELETE CASCADE,
  business_id varchar NOT NULL REFERENCES businesses (id) ON DELETE CASCADE,
  added_at timestamp DEFAULT now(),
  notes text,
  UNIQUE (portfolio_id, business_id)
);
