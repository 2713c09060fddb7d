-- As the application, for one organization: what it could change of the others.
WITH events_changed AS (
  UPDATE events SET name = name WHERE organization_id IS DISTINCT FROM current_organization() RETURNING 1
), tasks_gone AS (
  DELETE FROM tasks WHERE organization_id IS DISTINCT FROM current_organization() RETURNING 1
)
SELECT (SELECT count(*) FROM events_changed) + (SELECT count(*) FROM tasks_gone)
