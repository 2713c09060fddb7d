SELECT count(*) FROM pg_trigger WHERE tgrelid IN ('events'::regclass, 'orders'::regclass, 'tasks'::regclass) AND NOT tgisinternal AND tgenabled <> 'D'
