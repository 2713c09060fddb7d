"""The schema as the first form of a fingerprint wrote it: to compare with what an older gonogo recorded, and for nothing else.

The schema `gonogo`, PostgreSQL's own schemas and what extensions own are left out; and so is much more, which the form of
today sees (`gonogo.postgres.catalogs`).
"""

from __future__ import annotations

from gonogo.postgres.connection import Connection
from gonogo.postgres.schemas import USERS_SCHEMAS

# one query, so that all of it is seen at one moment; columns are named, not numbered: their order is not meaning
_SCHEMA = rf"""
WITH own AS (
  SELECT n.oid, n.nspname FROM pg_namespace n
  WHERE {USERS_SCHEMAS}
), extension_owned AS (
  SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
), relation AS (
  SELECT c.*, format('%I.%I', own.nspname, c.relname) AS name FROM pg_class c JOIN own ON own.oid = c.relnamespace
  WHERE NOT EXISTS (SELECT FROM extension_owned e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid)
)
SELECT 'schema ' || nspname, concat_ws(' ', pg_get_userbyid(nspowner), nspacl::text,
  'comment ' || obj_description(oid, 'pg_namespace'))
FROM pg_namespace WHERE oid IN (SELECT oid FROM own)
UNION ALL
SELECT CASE relkind WHEN 'r' THEN 'table ' WHEN 'p' THEN 'table ' WHEN 'v' THEN 'view ' WHEN 'm' THEN 'view '
    WHEN 'f' THEN 'foreign table ' ELSE 'relation ' END || name,
  concat_ws(' ', 'kind', relkind, 'owner', pg_get_userbyid(relowner), 'acl',
    (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM
      unnest(coalesce(relacl, acldefault('r', relowner))) a), 'rls', relrowsecurity, relforcerowsecurity,
    'persistence', relpersistence, 'options', reloptions::text, 'replica identity', relreplident,
    'comment', obj_description(oid, 'pg_class'), 'access method ' || (SELECT amname FROM pg_am WHERE pg_am.oid = relam),
    'tablespace ' || (SELECT spcname FROM pg_tablespace t WHERE t.oid = reltablespace),
    'inherits ' || (SELECT string_agg(inhparent::regclass::text, ',' ORDER BY inhseqno) FROM pg_inherits
      WHERE inhrelid = relation.oid),
    CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END,
    CASE WHEN relispartition THEN pg_get_expr(relpartbound, oid) END)
FROM relation WHERE relkind IN ('r', 'p', 'v', 'm', 'f')
UNION ALL
SELECT format('column %s.%I', name, attname),
  concat_ws(' ', format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'not null' END,
    'default ' || pg_get_expr(d.adbin, d.adrelid), 'identity ' || nullif(attidentity::text, ''),
    'generated ' || nullif(attgenerated::text, ''), 'collation ' || nullif(attcollation, 0)::regcollation::text,
    'storage', attstorage, nullif(attcompression::text, ''), 'statistics ' || nullif(attstattarget, -1)::text,
    'options ' || (SELECT string_agg(o, ',') FROM unnest(attoptions) o WHERE o LIKE 'n_distinct%'),
    'acl ' || nullif(attacl::text, '{{}}'), 'comment ' || col_description(attrelid, attnum))
FROM pg_attribute a JOIN relation r ON r.oid = a.attrelid AND r.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE attnum > 0 AND NOT attisdropped
UNION ALL
-- from 18 on NOT NULL has a name too, which nobody chose and which renaming the column leaves as it was: its column names it
SELECT CASE WHEN contype = 'n' THEN format('constraint %s NOT NULL %I', r.name, k.attname)
    ELSE format('constraint %s %I', coalesce(r.name, ''), conname) END,
  concat_ws(' ', pg_get_constraintdef(c.oid), CASE WHEN convalidated THEN 'valid' ELSE 'not valid' END,
    -- DISABLE TRIGGER ALL switches a foreign key off without a word in its definition
    'enabled ' || (SELECT string_agg(DISTINCT tgenabled::text, ',') FROM pg_trigger WHERE tgconstraint = c.oid AND tgisinternal),
    'comment ' || obj_description(c.oid, 'pg_constraint'))
FROM pg_constraint c JOIN relation r ON r.oid = c.conrelid
LEFT JOIN pg_attribute k ON c.contype = 'n' AND k.attrelid = c.conrelid AND k.attnum = c.conkey[1]
UNION ALL
SELECT 'index ' || r.name, concat_ws(' ', pg_get_indexdef(i.indexrelid),
  CASE WHEN indisvalid AND indisready THEN 'valid' ELSE 'INVALID' END, CASE WHEN indisclustered THEN 'clustered' END,
  'comment ' || obj_description(i.indexrelid, 'pg_class'))
FROM pg_index i JOIN relation r ON r.oid = i.indexrelid
UNION ALL
SELECT 'sequence ' || r.name, concat_ws(' ', format_type(seqtypid, NULL), seqstart, seqincrement, seqmin, seqmax, seqcache,
  seqcycle, 'owner', pg_get_userbyid(relowner), 'acl', relacl::text, 'owned by ' || (
    SELECT format('%s.%I', d.refobjid::regclass, a.attname) FROM pg_depend d
    JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.deptype IN ('a', 'i') LIMIT 1))
FROM pg_sequence s JOIN relation r ON r.oid = s.seqrelid
UNION ALL
SELECT format('%s %I.%s(%s)', CASE prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
    own.nspname, quote_ident(proname), pg_get_function_identity_arguments(p.oid)),
  concat_ws(' ', CASE WHEN prokind <> 'a' THEN pg_get_functiondef(p.oid) ELSE format_type(prorettype, NULL) END,
    (SELECT concat_ws(' ', aggkind, aggtransfn, aggfinalfn, aggcombinefn, aggserialfn, aggdeserialfn, aggmtransfn, aggminvtransfn,
      aggmfinalfn, aggtranstype::regtype, aggmtranstype::regtype, aggsortop::regoperator, agginitval, aggminitval)
     FROM pg_aggregate WHERE aggfnoid = p.oid),
    'owner', pg_get_userbyid(proowner), 'acl', (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM
      unnest(coalesce(proacl, acldefault('f', proowner))) a),
    'comment ' || obj_description(p.oid, 'pg_proc'))
FROM pg_proc p JOIN own ON own.oid = p.pronamespace
WHERE NOT EXISTS (SELECT FROM extension_owned e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid)
UNION ALL
SELECT format('trigger %s %I', r.name, tgname), concat_ws(' ', pg_get_triggerdef(t.oid), 'enabled', tgenabled)
FROM pg_trigger t JOIN relation r ON r.oid = t.tgrelid WHERE NOT tgisinternal
UNION ALL
SELECT format('rule %s %I', r.name, rulename), concat_ws(' ', pg_get_ruledef(w.oid), 'enabled', ev_enabled)
FROM pg_rewrite w JOIN relation r ON r.oid = w.ev_class WHERE rulename <> '_RETURN'
UNION ALL
SELECT format('policy %s %I', r.name, polname), concat_ws(' ', polcmd, polpermissive,
  (SELECT string_agg(CASE o WHEN 0 THEN 'public' ELSE pg_get_userbyid(o) END, ',' ORDER BY 1) FROM unnest(polroles) o),
  'using', pg_get_expr(polqual, polrelid), 'check', pg_get_expr(polwithcheck, polrelid))
FROM pg_policy p JOIN relation r ON r.oid = p.polrelid
UNION ALL
SELECT format('type %I.%I', own.nspname, typname), concat_ws(' ', typtype, 'owner', pg_get_userbyid(typowner),
  (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid),
  CASE WHEN typtype = 'd' THEN format_type(typbasetype, typtypmod) END, CASE WHEN typnotnull THEN 'not null' END,
  'collation ' || nullif(typcollation, 0)::regcollation::text, typdefault,
  'acl ' || typacl::text, 'comment ' || obj_description(t.oid, 'pg_type'),
  (SELECT string_agg(pg_get_constraintdef(k.oid), ',' ORDER BY conname) FROM pg_constraint k WHERE k.contypid = t.oid))
FROM pg_type t JOIN own ON own.oid = t.typnamespace
WHERE typtype IN ('e', 'd', 'r', 'm')
  AND NOT EXISTS (SELECT FROM extension_owned e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid)
UNION ALL
SELECT 'extension ' || extname, extversion FROM pg_extension
UNION ALL
SELECT format('event trigger %I', evtname), concat_ws(' ', evtevent, evtenabled, evtfoid::regproc::text, evttags::text)
FROM pg_event_trigger
UNION ALL
SELECT format('statistics %I.%I', own.nspname, stxname), concat_ws(' ', pg_get_statisticsobjdef(s.oid), pg_get_userbyid(stxowner))
FROM pg_statistic_ext s JOIN own ON own.oid = s.stxnamespace
UNION ALL
SELECT format('default privileges of %s%s on %s', pg_get_userbyid(defaclrole),
  ' in ' || nullif(defaclnamespace, 0)::regnamespace::text,
    defaclobjtype), defaclacl::text FROM pg_default_acl
UNION ALL
SELECT format('publication %I', pubname), concat_ws(' ', puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot,
  (SELECT string_agg(concat_ws(' ', prrelid::regclass, prattrs::text, pg_get_expr(prqual, prrelid)), ','
     ORDER BY prrelid::regclass::text)
   FROM pg_publication_rel WHERE prpubid = p.oid),
  (SELECT string_agg(pnnspid::regnamespace::text, ',' ORDER BY 1) FROM pg_publication_namespace WHERE pnpubid = p.oid))
FROM pg_publication p
UNION ALL
SELECT format('setting of %s', coalesce(nullif(setrole, 0)::regrole::text, 'everyone')), setconfig::text
FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
UNION ALL
SELECT format('operator %s', o.oid::regoperator), concat_ws(' ', oprcode, oprrest, oprjoin, oprcom::regoperator,
  oprnegate::regoperator,
  oprcanmerge, oprcanhash, pg_get_userbyid(oprowner))
FROM pg_operator o JOIN own ON own.oid = o.oprnamespace
WHERE NOT EXISTS (SELECT FROM extension_owned e WHERE e.classid = 'pg_operator'::regclass AND e.objid = o.oid)
UNION ALL
SELECT format('collation %I.%I', own.nspname, collname), concat_ws(' ', collprovider, collisdeterministic, collcollate, collctype)
FROM pg_collation c JOIN own ON own.oid = c.collnamespace
UNION ALL
SELECT format('text search configuration %I.%I', own.nspname, cfgname), cfgparser::text
FROM pg_ts_config c JOIN own ON own.oid = c.cfgnamespace
UNION ALL
SELECT format('cast from %s to %s', castsource::regtype, casttarget::regtype),
  concat_ws(' ', castfunc::regprocedure, castcontext, castmethod)
FROM pg_cast c WHERE c.oid >= 16384
  AND NOT EXISTS (SELECT FROM extension_owned e WHERE e.classid = 'pg_cast'::regclass AND e.objid = c.oid)
UNION ALL
-- options of servers and mappings may hold secrets: their digest tells a change as well
SELECT format('foreign server %I', srvname), concat_ws(' ', srvtype, srvversion, srvacl::text, md5(srvoptions::text))
FROM pg_foreign_server
"""


def read_first_form(connection: Connection) -> dict[str, str]:
    """Return every object of the schema with its definition, in the first form."""
    connection.execute("SET search_path = pg_catalog")
    try:
        rows = connection.execute(_SCHEMA.encode()).fetchall()
    finally:
        connection.execute("RESET search_path")
    return {str(name): str(definition) for name, definition in rows}
