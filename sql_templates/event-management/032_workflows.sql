-- automation_functions.sql has no text: an event that reaches a status starts the workflows that wait for it, once each.
CREATE FUNCTION start_workflows() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN
  WITH due AS (
    SELECT w.id, w.task_title, gen_random_uuid() AS task_id FROM workflows AS w
    WHERE w.organization_id = NEW.organization_id AND w.on_status = NEW.status AND w.is_active
      AND NOT EXISTS (SELECT FROM workflow_runs AS r WHERE r.workflow_id = w.id AND r.event_id = NEW.id)
  ), made AS (
    INSERT INTO tasks (id, organization_id, event_id, title) SELECT d.task_id, NEW.organization_id, NEW.id, d.task_title FROM due AS d
  )
  INSERT INTO workflow_runs (organization_id, workflow_id, event_id, task_id) SELECT NEW.organization_id, d.id, NEW.id, d.task_id FROM due AS d;
  RETURN NULL;
END $$;
CREATE TRIGGER events_workflows AFTER UPDATE OF status ON events
  FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION start_workflows();
