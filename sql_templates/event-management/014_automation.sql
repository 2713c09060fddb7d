CREATE TABLE workflows (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  -- the status of an event that starts it
  on_status text NOT NULL,
  task_title text NOT NULL,
  is_active boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_workflows_start ON workflows (organization_id, on_status) WHERE is_active;

CREATE TABLE workflow_runs (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  workflow_id uuid NOT NULL REFERENCES workflows (id) ON DELETE CASCADE,
  event_id uuid NOT NULL REFERENCES events (id) ON DELETE CASCADE,
  task_id uuid NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
  ran_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_workflow_runs_organization ON workflow_runs (organization_id, ran_at DESC);
CREATE INDEX idx_workflow_runs_workflow ON workflow_runs (workflow_id);
CREATE INDEX idx_workflow_runs_event ON workflow_runs (event_id);
CREATE INDEX idx_workflow_runs_task ON workflow_runs (task_id);

CREATE TABLE campaigns (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  event_id uuid REFERENCES events (id) ON DELETE CASCADE,
  channel text NOT NULL,
  status text NOT NULL DEFAULT 'draft',
  sent_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_campaigns_organization ON campaigns (organization_id, created_at DESC);
CREATE INDEX idx_campaigns_event ON campaigns (event_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON workflows, workflow_runs, campaigns TO event_app;
