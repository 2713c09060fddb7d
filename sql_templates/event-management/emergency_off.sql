-- The emergency, without the lock under which the plan's pg_restore would wait for ever. `triggers_back.sql` ends it, and so does the level `undo`.
SELECT emergency_triggers_off();
