-- Drop everything that a restore in place brings back: all but the ledger, what extensions own, and PostgreSQL's own.
SET search_path = pg_catalog;
DO $gonogo$
DECLARE
  command text;
BEGIN
  FOR command IN
    SELECT format('DROP SCHEMA %I CASCADE', nspname) FROM pg_namespace n
    WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'gonogo', 'public')
      AND NOT EXISTS (SELECT FROM pg_extension e WHERE e.extnamespace = n.oid)
  LOOP
    EXECUTE command;
  END LOOP;
  LOOP
    -- one at a time, since CASCADE may take others with it
    SELECT format('DROP %s %s CASCADE', o.word, o.name) INTO command
    FROM (
      SELECT 'pg_class'::regclass AS class, oid AS id, relnamespace AS space, oid::regclass::text AS name,
        CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
          WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END AS word
      FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')
      UNION ALL
      SELECT 'pg_proc'::regclass, oid, pronamespace, oid::regprocedure::text,
        CASE prokind WHEN 'p' THEN 'PROCEDURE' WHEN 'a' THEN 'AGGREGATE' ELSE 'FUNCTION' END
      FROM pg_proc
      UNION ALL
      SELECT 'pg_type'::regclass, oid, typnamespace, oid::regtype::text, 'TYPE' FROM pg_type WHERE typtype IN ('e', 'd', 'r')
    ) AS o JOIN pg_namespace n ON n.oid = o.space
    WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'gonogo')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.id AND d.deptype IN ('e', 'i'))
    LIMIT 1;
    EXIT WHEN NOT FOUND;
    EXECUTE command;
  END LOOP;
END $gonogo$;
