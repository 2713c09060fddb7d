-- What is renamed, replaced or copied keeps who may do what: owner, grants on tables and columns, comment. Where rows are kept from
-- some by policies, the copy is closed to all but its owner until somebody writes its policies: columns are called otherwise there.
CREATE FUNCTION same_rights(p_from regclass, p_to regclass) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  given record;
  source pg_class%ROWTYPE;
  target pg_class%ROWTYPE;
BEGIN
  SELECT * INTO source FROM pg_class WHERE oid = p_from;
  SELECT * INTO target FROM pg_class WHERE oid = p_to;
  FOR given IN
    SELECT a.privilege_type AS what, '' AS col, a.grantee, a.is_grantable FROM aclexplode(source.relacl) AS a
    WHERE a.grantee <> source.relowner
    UNION ALL
    SELECT a.privilege_type, format(' (%I)', f.attname), a.grantee, a.is_grantable
    FROM pg_attribute AS f JOIN pg_attribute AS t ON t.attrelid = p_to AND t.attname = f.attname AND NOT t.attisdropped
    CROSS JOIN LATERAL aclexplode(f.attacl) AS a WHERE f.attrelid = p_from AND f.attnum > 0
  LOOP
    EXECUTE format(
      'GRANT %s%s ON %s TO %s%s', given.what, given.col, p_to,
      CASE given.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(given.grantee)) END,
      CASE WHEN given.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
  END LOOP;
  IF source.relrowsecurity AND target.relkind = 'r' THEN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', p_to);
  END IF;
  IF obj_description(p_from, 'pg_class') IS NOT NULL THEN
    EXECUTE format(
      'COMMENT ON %s %s IS %L', CASE target.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, p_to, obj_description(p_from, 'pg_class'));
  END IF;
  IF source.relowner <> target.relowner THEN
    EXECUTE format('ALTER TABLE %s OWNER TO %I', p_to, pg_get_userbyid(source.relowner));
  END IF;
END $$;
