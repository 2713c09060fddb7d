-- What is there before the migration: Prisma's text ids, NextAuth's tables, and references that nothing enforces.
CREATE TABLE users (id text PRIMARY KEY, email text UNIQUE NOT NULL, name text, email_verified timestamp, role text NOT NULL DEFAULT 'BUYER', created_at timestamp NOT NULL DEFAULT now(), updated_at timestamp NOT NULL DEFAULT now());
CREATE TABLE accounts (id text PRIMARY KEY, user_id text NOT NULL REFERENCES users(id) ON DELETE CASCADE, provider text NOT NULL, provider_account_id text NOT NULL, UNIQUE(provider, provider_account_id));
CREATE TABLE sessions (id text PRIMARY KEY, session_token text UNIQUE NOT NULL, user_id text NOT NULL REFERENCES users(id) ON DELETE CASCADE, expires timestamp NOT NULL);
CREATE TABLE businesses (id text PRIMARY KEY, owner_id text, name text NOT NULL, industry text, asking_price numeric(14,2), status text NOT NULL DEFAULT 'ACTIVE', created_at timestamp NOT NULL DEFAULT now());
CREATE TABLE health_metrics (id text PRIMARY KEY, business_id text NOT NULL, score integer, confidence integer, calculated_at timestamp NOT NULL DEFAULT now());
CREATE TABLE forecasts (id text PRIMARY KEY, business_id text NOT NULL, horizon_months integer NOT NULL, predicted numeric(14,2), created_at timestamp NOT NULL DEFAULT now());
CREATE TABLE health_alerts (id text PRIMARY KEY, business_id text NOT NULL, severity text NOT NULL, message text, created_at timestamp NOT NULL DEFAULT now());
CREATE TABLE messages (id text PRIMARY KEY, sender_id text NOT NULL REFERENCES users(id), recipient_id text REFERENCES users(id), body text, created_at timestamp NOT NULL DEFAULT now());
CREATE TABLE meetings (id text PRIMARY KEY, organizer_id text NOT NULL REFERENCES users(id), business_id text, starts_at timestamp NOT NULL);
CREATE TABLE documents (id text PRIMARY KEY, owner_id text NOT NULL REFERENCES users(id), business_id text, path text NOT NULL);
CREATE INDEX businesses_owner_idx ON businesses(owner_id);
CREATE INDEX health_metrics_business_idx ON health_metrics(business_id, calculated_at DESC);
