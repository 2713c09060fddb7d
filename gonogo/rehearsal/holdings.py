"""What a copy holds, column by column and object by object, so that what a step wrote is known by what is another than before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from psycopg import sql

from gonogo.postgres.connection import Connection
from gonogo.postgres.schemas import USERS_SCHEMAS

_COLUMNS = f"""
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), a.attname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
WHERE c.relkind = 'r' AND {USERS_SCHEMAS}
ORDER BY 1, a.attnum
"""
_OBJECTS = f"""
SELECT 'index', i.indexrelid::pg_catalog.regclass::text, i.indrelid::pg_catalog.regclass::text,
  pg_catalog.pg_get_indexdef(i.indexrelid)
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE {USERS_SCHEMAS} AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid)
UNION ALL
SELECT 'constraint', pg_catalog.quote_ident(k.conname), k.conrelid::pg_catalog.regclass::text,
  pg_catalog.pg_get_constraintdef(k.oid)
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_namespace n ON n.oid = k.connamespace
WHERE {USERS_SCHEMAS} AND k.conrelid <> 0 AND k.contype IN ('c', 'f', 'u') AND k.conparentid = 0 AND k.coninhcount = 0
UNION ALL
SELECT 'trigger', pg_catalog.quote_ident(t.tgname), t.tgrelid::pg_catalog.regclass::text,
  pg_catalog.concat(pg_catalog.pg_get_triggerdef(t.oid), t.tgenabled)
FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE {USERS_SCHEMAS} AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgparentid = 0
UNION ALL
SELECT 'policy', pg_catalog.quote_ident(p.polname), p.polrelid::pg_catalog.regclass::text,
  pg_catalog.concat_ws(' ', p.polcmd, p.polpermissive, p.polroles, p.polqual, p.polwithcheck)
FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE {USERS_SCHEMAS}
UNION ALL
SELECT 'row security', '', c.oid::pg_catalog.regclass::text, ''
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE {USERS_SCHEMAS} AND c.relrowsecurity
UNION ALL
SELECT 'function', p.oid::pg_catalog.regprocedure::text, '', pg_catalog.md5(p.prosrc)
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE {USERS_SCHEMAS} AND p.prokind = 'f' AND p.prorettype <> 'pg_catalog.trigger'::pg_catalog.regtype
  AND p.prorettype <> 'pg_catalog.event_trigger'::pg_catalog.regtype
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e')
UNION ALL
SELECT 'grant', pg_catalog.concat(g.privilege_type, ' TO ', CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE
  pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END),
  pg_catalog.concat(CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END, c.oid::pg_catalog.regclass::text), ''
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace,
  pg_catalog.aclexplode(c.relacl) AS g
WHERE {USERS_SCHEMAS} AND c.relkind IN ('r', 'p', 'v', 'm', 'S') AND g.grantee <> c.relowner
UNION ALL
SELECT 'grant', pg_catalog.concat(g.privilege_type, ' TO ', CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE
  pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END),
  pg_catalog.concat('FUNCTION ', p.oid::pg_catalog.regprocedure::text), ''
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace, pg_catalog.aclexplode(p.proacl) AS g
WHERE {USERS_SCHEMAS} AND p.prokind = 'f' AND g.grantee <> p.proowner
"""


class Thing(NamedTuple):
    """An object that can be wrong by itself: of what kind, its name, and the table or object that it belongs to."""

    kind: str
    name: str
    of: str


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """What a copy holds at a moment."""

    #: by table and column, a number that is another where a value of it is; and by table, how many rows it has
    columns: Mapping[tuple[str, str], str]
    rows: Mapping[str, int]
    #: each object with what it says, where it can say another thing under the same name
    things: Mapping[Thing, str]


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a step wrote: the columns in which values are another, by table; the tables that have more rows; the objects."""

    columns: tuple[tuple[str, str], ...]
    grown: tuple[str, ...]
    things: tuple[Thing, ...]


def holdings(connection: Connection) -> Holdings:
    """Return what a copy holds."""
    tables: dict[str, list[str]] = {}
    for table, column in connection.execute(_COLUMNS.encode()).fetchall():
        tables.setdefault(str(table), []).append(str(column))
    columns: dict[tuple[str, str], str] = {}
    rows: dict[str, int] = {}
    for table, names in tables.items():
        # as a part of a record, or a cast that somebody made from a type of their own would run as this role
        sums = [
            sql.SQL('coalesce(sum(pg_catalog.hashtextextended(ROW({})::text COLLATE "C", 0)), 0)::text').format(
                sql.Identifier(name)
            )
            for name in names
        ]
        query = sql.SQL("SELECT pg_catalog.count(*), {} FROM ONLY {}").format(sql.SQL(", ").join(sums), sql.SQL(table))
        count, *found = connection.execute(query).fetchone() or (0,)
        rows[table] = int(count)
        columns |= {(table, name): str(each) for name, each in zip(names, found, strict=True)}
    things = {Thing(str(kind), str(name), str(of)): str(says) for kind, name, of, says in connection.execute(_OBJECTS.encode())}
    return Holdings(columns=columns, rows=rows, things=things)


def written(before: Holdings, after: Holdings) -> Written:
    """Return what lies between two moments: what a step wrote."""
    return Written(
        columns=tuple(key for key, value in after.columns.items() if before.columns.get(key) != value),
        grown=tuple(table for table, count in after.rows.items() if count > before.rows.get(table, 0)),
        things=tuple(thing for thing, says in after.things.items() if before.things.get(thing) != says),
    )
