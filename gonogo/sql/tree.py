"""Reading a statement's tree, as PostgreSQL's parser gives it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any


def label(message: Any, field: str) -> str:
    """Return the name of an enumeration's value in a statement's tree."""
    descriptor = message.DESCRIPTOR.fields_by_name[field].enum_type
    return str(descriptor.values_by_number[getattr(message, field)].name)


def relation_name(relation: Any) -> str:
    """Return the name of a relation, for people."""
    return f"{relation.schemaname}.{relation.relname}" if relation.schemaname else str(relation.relname)


def quoted(relation: Any) -> str:
    """Return the name of a relation, quoted where it must be."""
    return quoted_where_needed(relation.schemaname, relation.relname)


def quoted_where_needed(*parts: str) -> str:
    """Return a name, its parts quoted where the server would read another one without."""
    return ".".join(part if re.fullmatch(r"[a-z_][a-z0-9_]*", part) else quoted_name(part) for part in parts if part)


def quoted_name(*parts: str) -> str:
    """Return a name with each of its parts quoted, as the parser would read it again."""
    return ".".join(f'"{p.replace(chr(34), chr(34) * 2)}"' for p in parts if p)


def named(items: Any) -> list[str]:
    """Return the parts of a qualified name in a list of a tree."""
    return [part.string.sval for part in items]


def ctes(statement: Any) -> Iterator[tuple[str, Any]]:
    """Yield the statements in the WITH of a statement: the name that the parser gives each, and its tree."""
    if "with_clause" in statement.DESCRIPTOR.fields_by_name and statement.HasField("with_clause"):
        for item in statement.with_clause.ctes:
            query = item.common_table_expr.ctequery
            node = query.WhichOneof("node") or ""
            yield node, getattr(query, node)
