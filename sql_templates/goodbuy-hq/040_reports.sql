CREATE TABLE generated_reports (
  id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id varchar NOT NULL REFERENCES users (id),
  business_id varchar REFERENCES businesses (id),
  portfolio_id varchar REFERENCES portfolios (id),
  report_type varchar NOT NULL,
  template_used varchar,
  branding_config json,
  file_path varchar,
  file_size integer,
  generation_time_ms integer,
  created_at timestamp DEFAULT now(),
  expires_at timestamp
);
