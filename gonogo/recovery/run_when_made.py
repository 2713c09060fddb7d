"""Definitions that run what the owners of a database wrote, as they are made or read again, as whoever does that.

PostgreSQL reads a value of a record, an array or a range as it reads a definition, and looks at the domains in it. It works out
calls of immutable functions with constants alone as it plans: generated columns and partition keys as they are made; indexes,
constraints of partitions and statistics whenever it reads their table. A superuser who restores or reads lends it their rights.
Functions run as the owner of a table, or for each row, are not meant here: the loader sees to those.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gonogo.postgres.connection import Connection

#: functions that no superuser wrote; domains that call one; types whose values hold such a domain
_THEIRS = "SELECT p.oid FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_roles r ON r.oid = p.proowner WHERE NOT r.rolsuper"
_WITH = f"""
WITH RECURSIVE theirs AS MATERIALIZED ({_THEIRS}), calls AS MATERIALIZED (
  SELECT d.classid, d.objid FROM pg_catalog.pg_depend d JOIN theirs ON d.refobjid = theirs.oid
  WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
  UNION SELECT d.classid, d.objid FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_operator o ON d.refobjid = o.oid
  JOIN theirs ON o.oprcode = theirs.oid WHERE d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass
), holds AS MATERIALIZED (
  SELECT t.typbasetype AS part, t.oid AS whole, false AS deep FROM pg_catalog.pg_type t WHERE t.typbasetype <> 0
  UNION SELECT t.typelem, t.oid, true FROM pg_catalog.pg_type t WHERE t.typelem <> 0 AND t.typlen = -1
  UNION SELECT a.atttypid, c.reltype, true FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    WHERE c.reltype <> 0 AND a.attnum > 0 AND NOT a.attisdropped
  UNION SELECT g.rngsubtype, g.rngtypid, true FROM pg_catalog.pg_range g
  UNION SELECT g.rngtypid, g.rngmultitypid, true FROM pg_catalog.pg_range g
), looks(type, deep) AS (
  SELECT k.contypid, false FROM pg_catalog.pg_constraint k JOIN calls ON calls.objid = k.oid
  WHERE calls.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND k.contypid <> 0
  UNION SELECT holds.whole, looks.deep OR holds.deep FROM looks JOIN holds ON holds.part = looks.type
)
"""
#: what holds a constant of such a type, or is given one as it is made
_MADE = (
    _WITH
    + """
SELECT DISTINCT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)
FROM pg_catalog.pg_depend d JOIN looks ON looks.deep AND d.refobjid = looks.type
LEFT JOIN pg_catalog.pg_class c ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = d.objid
LEFT JOIN pg_catalog.pg_proc p ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = d.objid
LEFT JOIN pg_catalog.pg_type t ON d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND t.oid = d.objid
WHERE d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass AND (
  d.classid IN ('pg_catalog.pg_attrdef'::pg_catalog.regclass, 'pg_catalog.pg_rewrite'::pg_catalog.regclass,
    'pg_catalog.pg_trigger'::pg_catalog.regclass, 'pg_catalog.pg_policy'::pg_catalog.regclass,
    'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, 'pg_catalog.pg_publication_rel'::pg_catalog.regclass,
    'pg_catalog.pg_constraint'::pg_catalog.regclass)
  OR c.relkind IN ('i', 'I') OR p.pronargdefaults > 0 OR p.prosqlbody IS NOT NULL OR t.typdefaultbin IS NOT NULL)
UNION SELECT 'partitions of ' || q.partrelid::pg_catalog.regclass FROM pg_catalog.pg_partitioned_table q
WHERE EXISTS (SELECT FROM pg_catalog.pg_attribute a JOIN looks ON looks.type = a.atttypid
    WHERE a.attrelid = q.partrelid AND a.attnum = ANY (q.partattrs::int2[]))
UNION SELECT 'aggregate ' || g.aggfnoid::pg_catalog.regprocedure FROM pg_catalog.pg_aggregate g JOIN looks
  ON (looks.type = g.aggtranstype AND g.agginitval IS NOT NULL) OR (looks.type = g.aggmtranstype AND g.aggminitval IS NOT NULL)
ORDER BY 1
"""
)
#: expressions that are worked out as far as they are constant, and call a function of theirs
_PLANNED = (
    _WITH
    + """
SELECT 'generated column of ' || d.adrelid::pg_catalog.regclass, d.adbin::text FROM pg_catalog.pg_attrdef d
  JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated <> ''
  JOIN calls ON calls.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND calls.objid = d.oid
UNION ALL SELECT 'constraint ' || pg_catalog.quote_ident(k.conname) || ' of ' || k.conrelid::pg_catalog.regclass, k.conbin::text
  FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_inherits h ON h.inhrelid = k.conrelid
  JOIN calls ON calls.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND calls.objid = k.oid WHERE k.contype = 'c'
UNION ALL SELECT 'partitions of ' || q.partrelid::pg_catalog.regclass, q.partexprs::text FROM pg_catalog.pg_partitioned_table q
  JOIN calls ON calls.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND calls.objid = q.partrelid
  WHERE q.partexprs IS NOT NULL
UNION ALL SELECT 'index ' || i.indexrelid::pg_catalog.regclass, pg_catalog.concat(i.indexprs::text, i.indpred::text)
  FROM pg_catalog.pg_index i
  JOIN calls ON calls.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND calls.objid = i.indexrelid
UNION ALL SELECT 'statistics ' || pg_catalog.quote_ident(s.stxname), s.stxexprs::text FROM pg_catalog.pg_statistic_ext s
  JOIN calls ON calls.classid = 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass AND calls.objid = s.oid
  WHERE s.stxexprs IS NOT NULL
"""
)
#: in an expression as PostgreSQL keeps it: where a part begins or ends, a column, and which function is called
_MARK = re.compile(r"\\.|\{VAR |[{}]|:(?:funcid|opfuncid) (\d+)", re.DOTALL)


def run_when_made(connection: Connection) -> tuple[str, ...]:
    """Return the definitions of a database that run what their owners wrote as they are made, or as their table is read.

    Args:
        connection: where; what a superuser wrote is not meant.
    """
    found = [str(row[0]) for row in connection.execute(_MADE.encode()).fetchall()]
    planned = connection.execute(_PLANNED.encode()).fetchall()
    if planned:
        theirs = {str(row[0]) for row in connection.execute(_THEIRS.encode()).fetchall()}
        found += [str(what) for what, kept in planned if calls_without_a_column(str(kept), theirs)]
    return tuple(dict.fromkeys(found))


def calls_without_a_column(kept: str, functions: set[str]) -> bool:
    """Say whether an expression calls one of some functions with constants alone.

    Args:
        kept: the expression, as PostgreSQL keeps it (`pg_node_tree`).
        functions: their numbers.
    """
    return any(function in functions and not column for function, column in _calls(kept))


def _calls(kept: str) -> Iterator[tuple[str, bool]]:
    """Yield each function that is called in an expression, and whether a column stands in what it is called with."""
    parts: list[tuple[list[str], list[bool]]] = [([], [])]
    for match in _MARK.finditer(kept):
        text = match.group()
        if text.startswith("{"):
            parts.append(([], []))
            if text != "{":
                for _, columns in parts:
                    columns.append(True)
        elif text == "}":
            if len(parts) > 1:
                functions, columns = parts.pop()
                yield from ((function, bool(columns)) for function in functions)
        elif match.group(1):
            parts[-1][0].append(match.group(1))
