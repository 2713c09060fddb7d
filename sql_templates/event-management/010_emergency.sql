-- The plan's emergency script switches off every trigger of three tables, and on again also those that were off before: its ENABLE
-- makes O of A, D and R alike. Its ALL means foreign keys too, which only a superuser may, and which lets orphans in.
-- Here each trigger's state is remembered, and what the server made itself is left alone.
CREATE TABLE trigger_states (
  table_name text NOT NULL,
  trigger_name text NOT NULL,
  state "char" NOT NULL,
  PRIMARY KEY (table_name, trigger_name)
);
ALTER TABLE trigger_states ENABLE ROW LEVEL SECURITY;

CREATE FUNCTION emergency_triggers_off() RETURNS bigint LANGUAGE plpgsql SET search_path = public AS $$
DECLARE
  switched bigint := 0;
  t record;
BEGIN
  FOR t IN
    SELECT c.relname, g.tgname, g.tgenabled FROM pg_trigger AS g JOIN pg_class AS c ON c.oid = g.tgrelid
    WHERE c.oid IN ('tasks'::regclass, 'orders'::regclass, 'events'::regclass) AND NOT g.tgisinternal
    -- as who writes an order locks them
    ORDER BY array_position(ARRAY['tasks', 'orders', 'events'], c.relname::text), g.tgname
  LOOP
    -- switched off twice: what counts is how they were at first
    INSERT INTO trigger_states VALUES (t.relname, t.tgname, t.tgenabled) ON CONFLICT DO NOTHING;
    EXECUTE format('ALTER TABLE %I DISABLE TRIGGER %I', t.relname, t.tgname);
    switched := switched + 1;
  END LOOP;
  RETURN switched;
END $$;

CREATE FUNCTION emergency_triggers_back() RETURNS bigint LANGUAGE plpgsql SET search_path = public AS $$
DECLARE
  switched bigint := 0;
  t record;
BEGIN
  FOR t IN
    SELECT s.table_name, s.trigger_name, s.state FROM trigger_states AS s
    JOIN pg_trigger AS g ON g.tgrelid = to_regclass(format('public.%I', s.table_name)) AND g.tgname = s.trigger_name
    ORDER BY array_position(ARRAY['tasks', 'orders', 'events'], s.table_name), s.trigger_name
  LOOP
    EXECUTE format('ALTER TABLE %I %s TRIGGER %I', t.table_name,
      CASE t.state WHEN 'O' THEN 'ENABLE' WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'DISABLE' END, t.trigger_name);
    switched := switched + 1;
  END LOOP;
  DELETE FROM trigger_states;
  RETURN switched;
END $$;
REVOKE EXECUTE ON FUNCTION emergency_triggers_off(), emergency_triggers_back() FROM PUBLIC;
