"""Statements that refuse a transaction: one row each, and all that gonogo knows of them.

Such a statement runs alone. After a crash or a failure it is in doubt, and the catalog is asked where it can answer. What
PostgreSQL's manual says of each is in the "Notes" of its page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gonogo.sql.tree import label, named, quoted_name

_LEFTOVERS = (
    "SELECT i.indexrelid::pg_catalog.regclass::text FROM pg_catalog.pg_index i"
    " JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid WHERE NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$'"
)
_VALID = "SELECT indisvalid AND indisready FROM pg_catalog.pg_index WHERE indexrelid = pg_catalog.to_regclass(%s)"
#: one that was interrupted left the index INVALID: dropping it again ends the work
_GONE = "SELECT pg_catalog.to_regclass(%s) IS NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class AloneStatement:
    """A sort of statement that cannot run inside a transaction."""

    #: what it does, for people and for the plan: `create index`
    act: str
    #: the name that PostgreSQL's parser gives the statement
    node: str
    #: returns the object that an interrupted one is asked about (quoted; empty where nobody could find it again), or None
    #: where this very statement may run in a transaction
    refuses: Callable[[Any], str | None]
    #: returns what a transaction that is taken back may run instead, to see what an undo destroys; empty where it changes no row,
    #: and nothing that a later statement needs
    stands_in: Callable[[str], str]
    #: why it needs a name, if it does: without one, an unfinished one could not be found again
    needs_name: str = ""
    #: running it twice does no harm
    repeatable: bool = False
    #: a query for whether it happened, given the object's name; NULL or no row where it did not
    probe: str = ""
    #: it makes an index: an INVALID one is dropped and built again, and its name must be free before
    makes_index: bool = False
    #: a query for the indexes that an interrupted one left, to be dropped
    leftovers: str = ""


def _index(statement: Any) -> str | None:
    if not statement.concurrent:
        return None
    return quoted_name(statement.relation.schemaname, statement.idxname) if statement.idxname else ""


def _drop(statement: Any) -> str | None:
    if not statement.concurrent:
        return None
    only = statement.objects[0] if len(statement.objects) == 1 else None
    return quoted_name(*named(only.list.items)) if only is not None and only.HasField("list") else ""


def _reindex(statement: Any) -> str | None:
    concurrent = any(p.def_elem.defname == "concurrently" for p in statement.params)
    whole = label(statement, "kind") in ("REINDEX_OBJECT_SCHEMA", "REINDEX_OBJECT_SYSTEM", "REINDEX_OBJECT_DATABASE")
    relation = statement.relation
    return quoted_name(relation.schemaname, relation.relname) if concurrent or whole else None


def _detach(statement: Any) -> str | None:
    for command in statement.cmds:
        definition = getattr(command.alter_table_cmd, "def")
        if definition.HasField("partition_cmd") and definition.partition_cmd.concurrent:
            return quoted_name(statement.relation.schemaname, statement.relation.relname)
    return None


def _subscription(statement: Any) -> str | None:
    kind = label(statement, "kind").removeprefix("ALTER_SUBSCRIPTION_")
    return "" if kind.startswith(("REFRESH", "SET_P", "ADD_P", "DROP_P")) else None


def _tablespace(statement: Any) -> str | None:
    return "" if any(o.def_elem.defname == "tablespace" for o in statement.options) else None


def _always(_: Any) -> str:
    return ""


def _no_row(_: str) -> str:
    return ""


def _at_once(text: str) -> str:
    """Return the statement without the word by which it refuses a transaction: a reserved one, so a name would be quoted."""
    return re.sub(r"\bCONCURRENTLY\b", "", text, count=1, flags=re.IGNORECASE)


STATEMENTS: tuple[AloneStatement, ...] = (
    AloneStatement(
        act="create index",
        node="index_stmt",
        refuses=_index,
        stands_in=_no_row,
        needs_name="name the index: without a name, an unfinished one could not be found again",
        probe=_VALID,
        makes_index=True,
    ),
    AloneStatement(act="drop index", node="drop_stmt", refuses=_drop, stands_in=_at_once, probe=_GONE),
    AloneStatement(
        act="reindex", node="reindex_stmt", refuses=_reindex, stands_in=_no_row, repeatable=True, leftovers=_LEFTOVERS
    ),
    AloneStatement(act="detach", node="alter_table_stmt", refuses=_detach, stands_in=_at_once),
    AloneStatement(
        act="vacuum",
        node="vacuum_stmt",
        refuses=lambda s: "" if s.is_vacuumcmd else None,
        stands_in=_no_row,
        repeatable=True,
    ),
    AloneStatement(
        act="cluster",
        node="cluster_stmt",
        refuses=lambda s: None if s.HasField("relation") else "",
        stands_in=_no_row,
        repeatable=True,
    ),
    AloneStatement(act="alter system", node="alter_system_stmt", refuses=_always, stands_in=_no_row, repeatable=True),
    AloneStatement(act="alter database", node="alter_database_stmt", refuses=_tablespace, stands_in=_no_row),
    AloneStatement(act="create database", node="createdb_stmt", refuses=_always, stands_in=_no_row),
    AloneStatement(act="drop database", node="dropdb_stmt", refuses=_always, stands_in=_no_row),
    AloneStatement(act="create tablespace", node="create_table_space_stmt", refuses=_always, stands_in=_no_row),
    AloneStatement(act="drop tablespace", node="drop_table_space_stmt", refuses=_always, stands_in=_no_row),
    AloneStatement(act="create subscription", node="create_subscription_stmt", refuses=_always, stands_in=_no_row),
    AloneStatement(act="alter subscription", node="alter_subscription_stmt", refuses=_subscription, stands_in=_no_row),
    AloneStatement(act="drop subscription", node="drop_subscription_stmt", refuses=_always, stands_in=_no_row),
)
BY_NODE: Mapping[str, AloneStatement] = {row.node: row for row in STATEMENTS}
BY_ACT: Mapping[str, AloneStatement] = {row.act: row for row in STATEMENTS}


def refusal(node: str, statement: Any) -> tuple[AloneStatement, str] | None:
    """Return what a statement that refuses a transaction is, and its object; None where it may run in one.

    Args:
        node: the name that PostgreSQL's parser gives it.
        statement: its tree.
    """
    row = BY_NODE.get(node)
    found = row.refuses(statement) if row is not None else None
    return (row, found) if row is not None and found is not None else None
