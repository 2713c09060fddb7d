CREATE TABLE ai_agents (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  name text NOT NULL,
  model text NOT NULL,
  instructions text,
  is_active boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_ai_agents_organization ON ai_agents (organization_id);

CREATE TABLE ai_conversations (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  agent_id uuid NOT NULL REFERENCES ai_agents (id) ON DELETE CASCADE,
  user_id uuid,
  messages jsonb NOT NULL DEFAULT '[]',
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_ai_conversations_organization ON ai_conversations (organization_id, created_at DESC);
CREATE INDEX idx_ai_conversations_agent ON ai_conversations (agent_id);

CREATE TABLE ai_content (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  event_id uuid REFERENCES events (id) ON DELETE CASCADE,
  agent_id uuid REFERENCES ai_agents (id) ON DELETE SET NULL,
  kind text NOT NULL,
  body text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_ai_content_organization ON ai_content (organization_id, created_at DESC);
CREATE INDEX idx_ai_content_event ON ai_content (event_id);
CREATE INDEX idx_ai_content_agent ON ai_content (agent_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON ai_agents, ai_conversations, ai_content TO event_app;
