-- Triggers that are to be there and enabled, and are not.
SELECT 2 - count(*) FROM pg_trigger
WHERE tgname IN ('initialize_user', 'initialize_workspace') AND tgrelid IN ('users'::regclass, 'workspaces'::regclass) AND tgenabled <> 'D'
