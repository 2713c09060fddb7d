"""What cannot be read, or compared, without running what somebody else wrote.

A view calls functions as whoever reads it: a table that was replaced by one of the same name would run them as gonogo.

A cast is found by the types alone, whatever the search path: whoever owns a table can give a column a type of their own, with a
cast to text, to json or to a number by a function of theirs. A statement of ours that casts such a value would call it as gonogo.
"""

from __future__ import annotations

from collections.abc import Sequence

from gonogo.postgres.connection import Connection

#: of anybody but a superuser and who logged in: what runs under SET ROLE can go back to that
_OTHERS = "NOT r.rolsuper AND r.rolname <> SESSION_USER"
_FOREIGN = f"JOIN pg_catalog.pg_roles r ON r.oid = p.proowner WHERE {_OTHERS}"
#: lets the open transaction read no view but the system's; servers from before August 2024 do not know it
NO_VIEWS = """
SELECT pg_catalog.set_config('restrict_nonsystem_relation_kind', 'view', true)
WHERE EXISTS (SELECT FROM pg_catalog.pg_settings WHERE name = 'restrict_nonsystem_relation_kind')
"""
_VIEW = f"""
SELECT r.rolname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_roles r ON r.oid = c.relowner
WHERE c.oid = pg_catalog.to_regclass(%s) AND c.relkind = 'v' AND {_OTHERS}
"""
#: the domains of a type, from the outermost to what is beneath them
_DOMAINS = """WITH RECURSIVE chain(type) AS (SELECT a.atttypid
    UNION SELECT t.typbasetype FROM chain JOIN pg_catalog.pg_type t ON t.oid = chain.type WHERE t.typtype = 'd')"""
_COLUMN = f"""
SELECT a.attname, pg_catalog.format_type(a.atttypid, NULL) FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = pg_catalog.to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
  AND (%s::text[] IS NULL OR a.attname = ANY (%s::text[]))
  AND (a.atttypid >= 16384 AND EXISTS (
      SELECT FROM pg_catalog.pg_cast c JOIN pg_catalog.pg_proc p ON p.oid = c.castfunc {_FOREIGN})
    -- one that fits exactly is found in any schema of the path, before PostgreSQL's own that would need a cast
    OR %s::text[] IS NOT NULL AND EXISTS (
      SELECT FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode {_FOREIGN}
      AND o.oprname IN ('=', '<>', '<', '>', '<=', '>=') AND EXISTS (
        {_DOMAINS} SELECT FROM chain WHERE type IN (o.oprleft, o.oprright) UNION ALL
        SELECT FROM pg_catalog.pg_type s WHERE s.oid IN (o.oprleft, o.oprright) AND s.typtype = 'p'))
    -- a value of a record, an array or a range that is written as text runs what the domains in it check
    OR (t.typtype IN ('c', 'r', 'm') OR t.typelem >= 16384) AND a.atttypid >= 16384 AND EXISTS (
      SELECT FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_type d ON d.oid = k.contypid
      JOIN pg_catalog.pg_roles r ON r.oid = d.typowner WHERE {_OTHERS}))
ORDER BY a.attnum LIMIT 1
"""
#: the type beneath the domains of a column `a`, by name: a text that is cast to a domain runs what that checks
BASE_TYPE = """(WITH RECURSIVE b(type, modifier) AS (
  SELECT a.atttypid, a.atttypmod
  UNION ALL SELECT t.typbasetype, t.typtypmod FROM b JOIN pg_catalog.pg_type t ON t.oid = b.type WHERE t.typtype = 'd')
 SELECT pg_catalog.format_type(b.type, b.modifier) FROM b JOIN pg_catalog.pg_type t ON t.oid = b.type WHERE t.typtype <> 'd')"""
#: what is called where a row is written: by its rules, its constraints and those of its domains, its defaults, its indexes,
#: and the keys of the tables that it is a partition of; by name, or by an operator
_WRITES = f"""
WITH mine AS (
  SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass AS class, k.oid FROM pg_catalog.pg_constraint k
  WHERE k.conrelid = %(table)s::pg_catalog.regclass OR k.contypid IN (
    SELECT c.type FROM pg_catalog.pg_attribute a CROSS JOIN LATERAL ({_DOMAINS} SELECT type FROM chain) c
    WHERE a.attrelid = %(table)s::pg_catalog.regclass)
  UNION ALL SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass, f.oid FROM pg_catalog.pg_attrdef f
  WHERE f.adrelid = %(table)s::pg_catalog.regclass
  UNION ALL SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid FROM pg_catalog.pg_index i
  WHERE i.indrelid = %(table)s::pg_catalog.regclass
  UNION ALL SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, p.relid
  FROM pg_catalog.pg_partition_ancestors(%(table)s::pg_catalog.regclass) AS p
), called AS (
  SELECT d.refobjid AS oid FROM mine JOIN pg_catalog.pg_depend d ON d.classid = mine.class AND d.objid = mine.oid
  WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
  UNION ALL SELECT o.oprcode FROM mine JOIN pg_catalog.pg_depend d ON d.classid = mine.class AND d.objid = mine.oid
  JOIN pg_catalog.pg_operator o ON d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass AND o.oid = d.refobjid
)
SELECT p.oid::pg_catalog.regprocedure::text FROM called JOIN pg_catalog.pg_proc p ON p.oid = called.oid {_FOREIGN}
UNION ALL
SELECT 'the rule ' || w.rulename FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_class c ON c.oid = w.ev_class
JOIN pg_catalog.pg_roles r ON r.oid = c.relowner WHERE c.oid = %(table)s::pg_catalog.regclass AND {_OTHERS}
LIMIT 1
"""


_FOLDED = f"""
SELECT p.oid::pg_catalog.regprocedure::text FROM pg_catalog.pg_proc p {_FOREIGN} AND p.provolatile = 'i' ORDER BY 1 LIMIT 1
"""


def why_not_planned(connection: Connection) -> str:
    """Say which function of somebody else's planning a statement may call, as it does with immutable ones, or nothing.

    Args:
        connection: where.
    """
    row = connection.execute(_FOLDED).fetchone()
    return (
        f"planning a statement runs immutable functions, and {row[0]} belongs to another role: its code would run with gonogo's"
        " rights. Let a superuser own that function, or leave this check out"
        if row
        else ""
    )


def why_not_read(connection: Connection, table: str) -> str:
    """Say that a relation is somebody else's view, or nothing.

    Args:
        connection: where.
        table: its name, as SQL.
    """
    row = connection.execute(_VIEW, [table]).fetchone()
    return (
        f"{table} is a view that belongs to {row[0]}: reading it would run {row[0]}'s code with gonogo's rights; name the tables"
        " that it reads instead"
        if row
        else ""
    )


def why_not_written(connection: Connection, table: str) -> str:
    """Say which function of somebody else's a row calls that is written into a table, or nothing.

    Args:
        connection: where; what a superuser or who logged in there wrote is nobody else's.
        table: its name, as SQL.
    """
    row = connection.execute(_WRITES, {"table": table}).fetchone()
    return (
        f"writing a row of {table} calls {row[0]}, whose code would run with gonogo's rights"
        if row
        else why_not_compared(connection, table)
    )


def why_not_compared(connection: Connection, table: str, columns: Sequence[str] | None = None) -> str:
    """Say which column of a table has a type that somebody gave casts or operators of their own, or nothing.

    Args:
        connection: where; what a superuser or who logged in there wrote is nobody else's.
        table: its name, as SQL.
        columns: the columns that are compared; without any, all of them are only read.
    """
    if why := why_not_read(connection, table):
        return why
    names = None if columns is None else list(columns)
    row = connection.execute(_COLUMN, [table, names, names, names]).fetchone()
    if row is None:
        return ""
    return (
        f"{table}.{row[0]} has the type {row[1]}, and a role that is neither a superuser nor this login made casts or operators"
        " here: comparing its values would run that role's code with gonogo's rights. Let a superuser own their functions, or"
        " leave the column out"
    )
