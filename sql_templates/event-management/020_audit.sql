-- The plan names audit triggers, and nothing in it writes audit_log. One row for each change, without whom it names and how they pay:
-- the log outlives the customer's wish to be forgotten.
CREATE FUNCTION audit_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
  was jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) - ARRAY['customer_email', 'payment_id'] END;
  becomes jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) - ARRAY['customer_email', 'payment_id'] END;
  its jsonb := coalesce(becomes, was);
BEGIN
  INSERT INTO audit_log (table_name, row_id, action, old_row, new_row)
  -- a member has no id of its own
  VALUES (TG_TABLE_NAME, coalesce(its ->> 'id', its ->> 'user_id')::uuid, lower(TG_OP), was, becomes);
  RETURN NULL;
END $$;
-- What happened to a row, newest first; whoever may read the log.
CREATE FUNCTION audit_trail(p_row uuid) RETURNS SETOF audit_log LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
  RETURN QUERY SELECT a.* FROM audit_log AS a WHERE a.row_id = p_row ORDER BY a.id DESC;
END $$;
-- For the check: a row is touched, and how many rows of the log came of it is told. The check's transaction is rolled back.
CREATE FUNCTION audit_rows_of_a_change(p_event uuid) RETURNS bigint LANGUAGE plpgsql SET search_path = public AS $$
DECLARE
  before bigint := (SELECT count(*) FROM audit_trail(p_event));
BEGIN
  UPDATE events SET description = description WHERE id = p_event;
  RETURN (SELECT count(*) FROM audit_trail(p_event)) - before;
END $$;
REVOKE EXECUTE ON FUNCTION audit_trail(uuid), audit_rows_of_a_change(uuid) FROM PUBLIC;
