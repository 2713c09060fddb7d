"""Which statements take time that grows with what is in a table, and what to write instead.

The rules are those of PostgreSQL's manual: "Notes" of ALTER TABLE's page, and the pages of the other statements. Where a rule
depends on what only the server knows, a statement counts as one that takes long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from gonogo.sql.tree import label


class Lasting(NamedTuple):
    """Why a statement takes long, and what to do about it."""

    why: str
    fix: str


_INDEX = Lasting("the index is built meanwhile", "CREATE INDEX CONCURRENTLY lets others write")
_UNIQUE = Lasting(
    "an index is built meanwhile",
    "CREATE UNIQUE INDEX CONCURRENTLY first, then ADD CONSTRAINT ... USING INDEX: that takes a moment",
)
_EXCLUDES = Lasting("an index is built meanwhile", "no other way has an exclusion constraint: choose an hour, set a lock_timeout")
_CHECKED = Lasting(
    "every row is looked at", "add it NOT VALID, and VALIDATE CONSTRAINT in a change of its own: others write meanwhile"
)
_NOT_NULL = Lasting(
    "every row is looked at",
    "ADD CONSTRAINT ... CHECK (column IS NOT NULL) NOT VALID, validate it in a change of its own, then SET NOT NULL:"
    " that takes a moment",
)
_REWRITES = Lasting(
    "every row may be written again", "add a column, fill it batch by batch, and switch; or choose an hour in which nobody writes"
)
_ATTACHED = Lasting("every row of the partition is looked at", "give it a CHECK constraint like its bound first: then none is")
_AGAIN = Lasting("all of it is written again", "choose an hour in which nobody writes")
_REFRESHED = Lasting("the query runs meanwhile", "REFRESH MATERIALIZED VIEW CONCURRENTLY lets others read")
_REINDEXED = Lasting("the index is built again meanwhile", "REINDEX CONCURRENTLY lets others write")
_ROWS = Lasting("rows are changed meanwhile", "change rows in a step of their own, batch by batch")
_CODE = Lasting("nobody can read in it how long it takes", "run it in a change of its own")
_READS = Lasting("a query runs meanwhile", "run it in a change of its own")
_VALIDATED = Lasting("every row is looked at", "validate in a change of its own")

_ALTER = {
    "AT_AlterColumnType": _REWRITES,
    "AT_SetExpression": _REWRITES,
    "AT_SetLogged": _REWRITES,
    "AT_SetUnLogged": _REWRITES,
    "AT_SetAccessMethod": _REWRITES,
    "AT_AddIdentity": _REWRITES,
    "AT_SetNotNull": _NOT_NULL,
    "AT_AttachPartition": _ATTACHED,
    "AT_ValidateConstraint": _VALIDATED,
}
_CONSTRAINTS = {
    "CONSTR_CHECK": _CHECKED,
    "CONSTR_FOREIGN": _CHECKED,
    "CONSTR_NOTNULL": _NOT_NULL,
    "CONSTR_PRIMARY": _UNIQUE,
    "CONSTR_UNIQUE": _UNIQUE,
    "CONSTR_EXCLUSION": _EXCLUDES,
}
#: a number that is drawn for each row
_SERIAL = frozenset({"serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"})
#: functions whose value is the same for all rows of a statement, so that a default of theirs is kept once for all of them
_SAME_FOR_ALL = frozenset({"now", "transaction_timestamp", "statement_timestamp", "current_user", "current_database"})


def lasts(node: str, statement: Any) -> Lasting | None:
    """Return why a statement takes time that grows with a table, if it does.

    Args:
        node: the name that PostgreSQL's parser gives the statement.
        statement: its tree.
    """
    found = _LASTS.get(node)
    return found(statement) if found else None


def _alter(statement: Any) -> Lasting | None:
    parts = (part for item in statement.cmds for part in _parts(item.alter_table_cmd))
    return next(parts, None)


def _parts(command: Any) -> Iterator[Lasting]:
    kind, definition = label(command, "subtype"), getattr(command, "def")
    if found := _ALTER.get(kind):
        yield found
    elif kind == "AT_AddConstraint":
        constraint = definition.constraint
        if not constraint.skip_validation and not constraint.indexname and (found := _of_constraint(constraint)):
            yield found
    elif kind == "AT_AddColumn":
        yield from _of_column(definition.column_def)


def _of_constraint(constraint: Any) -> Lasting | None:
    return _CONSTRAINTS.get(label(constraint, "contype"))


def _of_column(column: Any) -> Iterator[Lasting]:
    constraints = [each.constraint for each in column.constraints]
    kinds = {label(constraint, "contype") for constraint in constraints}
    if (column.type_name.names and column.type_name.names[-1].string.sval in _SERIAL) or any(map(_fills, constraints)):
        yield _REWRITES
    for constraint in constraints:
        kind = label(constraint, "contype")
        # a default is no NULL, and is kept once for all rows
        if not (kind == "CONSTR_NOTNULL" and "CONSTR_DEFAULT" in kinds) and (found := _of_constraint(constraint)):
            yield found


def _fills(constraint: Any) -> bool:
    """Say whether every row gets a value of its own."""
    kind = label(constraint, "contype")
    if kind == "CONSTR_DEFAULT":
        return not _is_the_same_for_all(constraint.raw_expr)
    return kind == "CONSTR_IDENTITY" or (kind == "CONSTR_GENERATED" and constraint.generated_kind != "v")


def _is_the_same_for_all(expression: Any) -> bool:
    """Say whether a default is one value for all rows there are, so that none of them is written."""
    which = expression.WhichOneof("node")
    if which == "type_cast":
        return _is_the_same_for_all(expression.type_cast.arg)
    if which == "func_call":
        return expression.func_call.funcname[-1].string.sval in _SAME_FOR_ALL
    return which in ("a_const", "sqlvalue_function", "a_array_expr")


def _insert(statement: Any) -> Lasting | None:
    query = statement.select_stmt
    return _ROWS if query.WhichOneof("node") == "select_stmt" and not query.select_stmt.values_lists else None


def _vacuum(statement: Any) -> Lasting | None:
    return _AGAIN if any(option.def_elem.defname == "full" for option in statement.options) else _READS


def _unless_concurrent(found: Lasting) -> Callable[[Any], Lasting | None]:
    return lambda statement: None if statement.concurrent else found


def _reindex(statement: Any) -> Lasting | None:
    return None if any(p.def_elem.defname == "concurrently" for p in statement.params) else _REINDEXED


def _select(statement: Any) -> Lasting | None:
    return _READS if statement.from_clause else None


def _always(found: Lasting) -> Callable[[Any], Lasting | None]:
    return lambda _: found


_LASTS: dict[str, Callable[[Any], Lasting | None]] = {
    "alter_table_stmt": _alter,
    "call_stmt": _always(_CODE),
    "cluster_stmt": _always(_AGAIN),
    "copy_stmt": _always(_ROWS),
    "create_table_as_stmt": _always(_READS),
    "delete_stmt": _always(_ROWS),
    "do_stmt": _always(_CODE),
    "execute_stmt": _always(_CODE),
    "index_stmt": _unless_concurrent(_INDEX),
    "insert_stmt": _insert,
    "merge_stmt": _always(_ROWS),
    "refresh_mat_view_stmt": _unless_concurrent(_REFRESHED),
    "reindex_stmt": _reindex,
    "select_stmt": _select,
    "update_stmt": _always(_ROWS),
    "vacuum_stmt": _vacuum,
}
