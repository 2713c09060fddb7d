"""Which tables hold rows that a script may write again: an UPDATE, a MERGE, an upsert, a change that rewrites the table.

Who wrote such a row before is not to be seen in it any more. What a DO block, a function, a trigger or a view writes is not in
the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gonogo.sql.parse import postgast
from gonogo.sql.tree import ctes, label, quoted_name

#: the changes of a table that write every row of it again, or may (ALTER TABLE, "Notes" of its page)
_REWRITES = frozenset(
    {"AT_AlterColumnType", "AT_SetExpression", "AT_SetLogged", "AT_SetUnLogged", "AT_SetAccessMethod", "AT_AddIdentity"}
)
#: a word without which no statement does any of that, nor runs code that is not to be read in it
_WORDS = re.compile(r"\b(UPDATE|MERGE|ALTER|DO|CALL|EXECUTE|SELECT)\b", re.IGNORECASE)


def may_overwrite(text: str) -> bool:
    """Say whether a script may write any row again; quickly, without reading its statements: no, or perhaps."""
    return _WORDS.search(text) is not None


def overwrites(text: str) -> tuple[str, ...]:
    """Return the tables that a script names whose rows it may write again, quoted."""
    found: dict[str, None] = {}
    for item in postgast.parse(text).stmts:
        node = item.stmt.WhichOneof("node") or ""
        found |= dict.fromkeys(_of(node, getattr(item.stmt, node)))
    return tuple(found)


def _of(node: str, statement: Any) -> Iterator[str]:
    for inner, query in ctes(statement):
        yield from _of(inner, query)
    updates = node == "insert_stmt" and label(statement.on_conflict_clause, "action") == "ONCONFLICT_UPDATE"
    rewrites = node == "alter_table_stmt" and any(map(_rewrites, statement.cmds))
    if node in ("update_stmt", "merge_stmt") or updates or rewrites:
        yield quoted_name(statement.relation.schemaname, statement.relation.relname)


def _rewrites(item: Any) -> bool:
    """Say whether a part of an ALTER TABLE may write every row again."""
    command = item.alter_table_cmd
    kind = label(command, "subtype")
    definition = getattr(command, "def")
    # a column whose default differs from row to row, and who knows whether it does
    filled = kind == "AT_AddColumn" and any(
        label(each.constraint, "contype") in ("CONSTR_DEFAULT", "CONSTR_GENERATED", "CONSTR_IDENTITY")
        and not each.constraint.raw_expr.HasField("a_const")
        for each in definition.column_def.constraints
    )
    return kind in _REWRITES or filled
