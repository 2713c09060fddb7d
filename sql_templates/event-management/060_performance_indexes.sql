-- The plan's own. It serves lists of what is planned; the query that the plan explains beside it says nothing of the status, and could
-- not use it: that one has idx_events_organization_start.
CREATE INDEX CONCURRENTLY idx_events_org_date_status ON events (organization_id, start_date, status) WHERE status IN ('planning', 'confirmed');
CREATE INDEX CONCURRENTLY idx_tasks_open ON tasks (organization_id, due_date) WHERE status <> 'done';
