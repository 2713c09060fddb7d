-- Before the tables, whose policies need the function and whose indexes the extension; the plan has it the other way round.
CREATE EXTENSION pg_trgm;

-- The organization that the application works for, as it says in app.org_id; none where it says nothing.
CREATE FUNCTION current_organization() RETURNS uuid LANGUAGE sql STABLE AS $$
  SELECT nullif(current_setting('app.org_id', true), '')::uuid
$$;
