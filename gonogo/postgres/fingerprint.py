"""Fingerprints: the schema object by object, and tables whatever the order of their rows.

The schema `gonogo`, PostgreSQL's own schemas and what extensions own are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from gonogo.errors import StepError
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
# How each column goes into the hash of its row. Only a type whose equal values are written alike may be hashed as it is, and
# int8 and its kin not even then: their hash folds 64 bits to 32. What has a binary form of its own goes by that, which tells
# 1.0 from 1.00 and one day from 24 hours; what is numbered again in every database (enums, composites, regclass) by its text.
_COLUMNS = """
SELECT a.attname, CASE
  WHEN t.oid >= 16384 OR t.typtype <> 'b' OR t.typelem >= 16384 OR t.typname ~ '^_?reg' OR t.typsend = 0
    OR (SELECT e.typsend = 0 FROM pg_catalog.pg_type e WHERE e.oid = t.typelem)
    THEN 'ROW({})::text COLLATE "C"'
  WHEN t.typname IN ('bool', 'int2', 'int4', 'oid', 'date', 'uuid', 'bytea', 'char') THEN '{}'
  WHEN t.typname IN ('text', 'varchar', 'name') THEN '{} COLLATE "C"'
  ELSE format('%%s({})', t.typsend) END
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = pg_catalog.to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attname
"""


def schema_fingerprint(connection: Connection) -> dict[str, str]:
    """Return every object of the schema with its definition."""
    connection.execute("SET search_path = pg_catalog")
    try:
        rows = connection.execute(_SCHEMA.encode()).fetchall()
    finally:
        connection.execute("RESET search_path")
    return {str(name): str(definition) for name, definition in rows}


def sequence_positions(connection: Connection) -> dict[str, int]:
    """Return the last value that each sequence handed out; one that never did is left out."""
    rows = connection.execute(
        "SELECT format('%I.%I', schemaname, sequencename), last_value FROM pg_catalog.pg_sequences"
        " WHERE schemaname <> 'gonogo' AND last_value IS NOT NULL"
    ).fetchall()
    return {str(name): int(value) for name, value in rows}


def count_rows(connection: Connection, table: str) -> int:
    """Return how many rows a table has."""
    row = connection.execute(sql.SQL("SELECT pg_catalog.count(*) FROM {}").format(_name(connection, table))).fetchone()
    return int(row[0]) if row else 0


def checksum(connection: Connection, table: str, columns: Sequence[str] = ()) -> str:
    """Return a table's row count and checksum, which do not depend on the order of its rows.

    A row's hash is made of its values' hashes (hash_record_extended) and mixed once more, so that a value that was swapped
    between two rows is noticed, which a sum of hashes of values would not. What equality calls the same and is not, such as
    1.0 and 1.00, one day and 24 hours, or NULL and nothing, is told apart.

    Args:
        connection: where.
        table: the table, with its schema where that is not public.
        columns: the columns to look at; all of them without any.

    Raises:
        StepError: there is no such table or column.
    """
    name, found = _name(connection, table), dict(_columns(connection, table))
    if missing := [c for c in columns if c not in found]:
        raise StepError(f"{table} has no column {missing[0]}")
    chosen = sorted(columns) or list(found)
    if not chosen:
        return str(count_rows(connection, table))
    values = [sql.SQL(found[column]).format(sql.Identifier(column)) for column in chosen]
    query = sql.SQL(
        "SELECT pg_catalog.count(*)::text || ':' || coalesce(sum(pg_catalog.hashint4extended(0,"
        " pg_catalog.hash_record_extended(ROW({}), 0)))::text, '0') FROM {}"
    ).format(sql.SQL(", ").join(values), name)
    row = connection.execute(query).fetchone()
    return str(row[0]) if row else ""


def columns_of(connection: Connection, table: str) -> list[str]:
    """Return the names of a table's columns, sorted."""
    return [name for name, _ in _columns(connection, table)]


def _columns(connection: Connection, table: str) -> list[tuple[str, str]]:
    """Return each column of a table, sorted, with how it goes into the hash of its row."""
    return [(str(name), str(how)) for name, how in connection.execute(_COLUMNS, [table]).fetchall()]


def _name(connection: Connection, table: str) -> sql.Composable:
    """Return a table's name as the server quotes it."""
    row = connection.execute("SELECT pg_catalog.to_regclass(%s)::text", [table]).fetchone()
    if not row or row[0] is None:
        raise StepError(f"there is no table {table}")
    return sql.SQL(str(row[0]))
