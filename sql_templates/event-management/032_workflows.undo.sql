-- Tasks that a workflow made are somebody's work by now: they stay.
DROP TRIGGER events_workflows ON events;
DROP FUNCTION start_workflows();
