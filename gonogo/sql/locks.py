"""Which locks a statement takes on tables, by the rules of PostgreSQL's manual, chapter 13.3.1 "Table-Level Locks".

It is what approvers should know: what a script may block while it runs. Where a rule depends on what only the server
knows, the stronger lock is said. A table that a statement does not name, and that only the server knows, is told in words that
begin with `what`: what a foreign key joins with the one that is dropped, what CASCADE takes along. A lock on a table with
partitions or children is one on those, too, unless it is ONLY that table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gonogo.sql.tree import ctes, label, named, quoted, quoted_where_needed, relation_name

#: weakest to strongest; what is weaker than these blocks nobody's reads or writes and is not told
MODES = (
    "ROW EXCLUSIVE",
    "SHARE UPDATE EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE",
    "ACCESS EXCLUSIVE",
)
_ROW, _UPDATE, _SHARE, _SHARE_ROW, _EXCLUSIVE, _ACCESS = MODES
#: the numbers of PostgreSQL's own lock modes, as LOCK TABLE's tree has them
_BY_NUMBER = {3: _ROW, 4: _UPDATE, 5: _SHARE, 6: _SHARE_ROW, 7: _EXCLUSIVE, 8: _ACCESS}
#: ALTER TABLE, "Notes" of its page: what does not need ACCESS EXCLUSIVE
_ALTER = {
    "AT_ValidateConstraint": _UPDATE,
    "AT_SetStatistics": _UPDATE,
    "AT_SetOptions": _UPDATE,
    "AT_ResetOptions": _UPDATE,
    "AT_ClusterOn": _UPDATE,
    "AT_DropCluster": _UPDATE,
    "AT_AttachPartition": _UPDATE,
    "AT_SetRelOptions": _UPDATE,
    "AT_ResetRelOptions": _UPDATE,
    "AT_EnableTrig": _SHARE_ROW,
    "AT_EnableAlwaysTrig": _SHARE_ROW,
    "AT_EnableReplicaTrig": _SHARE_ROW,
    "AT_EnableTrigAll": _SHARE_ROW,
    "AT_EnableTrigUser": _SHARE_ROW,
    "AT_DisableTrig": _SHARE_ROW,
    "AT_DisableTrigAll": _SHARE_ROW,
    "AT_DisableTrigUser": _SHARE_ROW,
}
#: what is done to an identity column, and how its sequence is locked
_IDENTITY = {"AT_DropIdentity": _ACCESS, "AT_SetIdentity": _SHARE_ROW, "AT_AddIdentity": _SHARE_ROW}
_ON_TABLES = frozenset({"OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_FOREIGN_TABLE"})
_ON_PARTS = frozenset({"OBJECT_TRIGGER", "OBJECT_POLICY", "OBJECT_RULE"})
#: how a table is told that only the server knows
WORDS = "what "
_TABLE_OF = "the table of "
#: what ALTER TABLE does to a foreign key of the table, or to one that refers to it
_UNDOES_KEYS = frozenset({"AT_DropConstraint", "AT_DropColumn", "AT_AlterColumnType"})
Lock = tuple[str, str]


def locks_of(node: str, statement: Any) -> list[Lock]:
    """Return the locks of a statement: mode and table, the strongest of each table.

    Args:
        node: the name that PostgreSQL's parser gives the statement.
        statement: its tree.
    """
    found = _TAKES.get(node)
    strongest: dict[str, str] = {}
    within = (lock for inner in ctes(statement) for lock in locks_of(*inner))
    for mode, table in (*within, *(found(statement) if found else ())):
        if not table:
            continue  # a type, a function: no table is locked
        strongest[table] = max(strongest.get(table, mode), mode, key=MODES.index)
    return [(mode, table) for table, mode in strongest.items()]


def in_words(table: str) -> bool:
    """Say whether the table of a lock is told in words, which only the server can make a name of."""
    return table.startswith((WORDS, _TABLE_OF))


def makes(node: str, statement: Any) -> str:
    """Return the table that a statement makes, if it makes one: its locks block nobody."""
    if node == "create_stmt":
        return relation_name(statement.relation)
    if node == "create_table_as_stmt":
        return relation_name(statement.into.rel)
    return ""


def destroys(node: str, statement: Any) -> list[str]:
    """Return the tables whose rows, or columns, a statement destroys; `schema.*` for all of a schema."""
    found = [table for inner in ctes(statement) for table in destroys(*inner)]
    if node == "delete_stmt":
        found.append(quoted(statement.relation))
    elif node == "truncate_stmt":
        found += [quoted(item.range_var) for item in statement.relations]
    elif node == "alter_table_stmt":
        kinds = {label(item.alter_table_cmd, "subtype") for item in statement.cmds}
        found += [quoted(statement.relation)] if "AT_DropColumn" in kinds else []
    elif node == "drop_stmt":
        kind = label(statement, "remove_type")
        if kind == "OBJECT_SCHEMA":
            found += [f"{item.string.sval}.*" for item in statement.objects]
        elif kind == "OBJECT_TABLE":
            found += [quoted_where_needed(*named(item.list.items)) for item in statement.objects]
    return found


def _one(mode: str, field: str = "relation") -> Callable[[Any], Iterator[Lock]]:
    def take(statement: Any) -> Iterator[Lock]:
        yield mode, relation_name(getattr(statement, field))

    return take


def _alter(statement: Any) -> Iterator[Lock]:
    kind_of = label(statement, "objtype")
    table = relation_name(statement.relation)
    if kind_of == "OBJECT_TYPE":
        yield _ACCESS, table
        yield _ACCESS, f"{WORDS}is of the type {table}"
    if kind_of == "OBJECT_SEQUENCE":
        yield _ACCESS, table
    if kind_of not in ("OBJECT_TABLE", "OBJECT_MATVIEW", "OBJECT_VIEW", "OBJECT_FOREIGN_TABLE"):
        return
    for item in statement.cmds:
        command = item.alter_table_cmd
        definition = getattr(command, "def")
        kind = label(command, "subtype")
        referred = list(_referred(definition))
        foreign = definition.HasField("constraint") and bool(referred)
        concurrent = definition.HasField("partition_cmd") and definition.partition_cmd.concurrent
        usual = _ALTER.get(kind, _ACCESS) if kind_of != "OBJECT_VIEW" else _ACCESS
        yield (_UPDATE if concurrent else _SHARE_ROW if foreign else usual), table
        for other in referred:
            yield _SHARE_ROW, other
        if kind in _UNDOES_KEYS:
            what = "the constraint" if kind == "AT_DropConstraint" else "a foreign key on"
            yield _ACCESS, f"{WORDS}{what} {command.name} joins with {table}"
        elif kind in ("AT_AttachPartition", "AT_DetachPartition"):
            mode = _UPDATE if concurrent else _ACCESS
            yield mode, relation_name(definition.partition_cmd.name)
            yield mode, f"{WORDS}is the default partition of {table}"
        elif kind == "AT_AddInherit":
            yield _UPDATE, relation_name(definition.range_var)
        elif kind in _IDENTITY:
            yield _IDENTITY[kind], f"{WORDS}numbers {table}.{command.name}"


def _referred(definition: Any) -> Iterator[str]:
    """Yield the tables that new foreign keys point to."""
    if definition.HasField("constraint") and definition.constraint.HasField("pktable"):
        yield relation_name(definition.constraint.pktable)
    if definition.HasField("column_def"):
        for item in definition.column_def.constraints:
            if item.constraint.HasField("pktable"):
                yield relation_name(item.constraint.pktable)


def _create(statement: Any) -> Iterator[Lock]:
    for parent in statement.inh_relations:
        is_part = statement.HasField("partbound")
        yield (_ACCESS if is_part else _UPDATE), relation_name(parent.range_var)
        if is_part:
            yield _ACCESS, f"{WORDS}is the default partition of {relation_name(parent.range_var)}"
    for element in statement.table_elts:
        for table in _referred(element):
            yield _SHARE_ROW, table


def _drop(statement: Any) -> Iterator[Lock]:
    kind, cascades = label(statement, "remove_type"), label(statement, "behavior") == "DROP_CASCADE"
    for item in statement.objects:
        names = [part.string.sval for part in item.list.items] if item.HasField("list") else []
        if cascades:
            yield _ACCESS, f"{WORDS}depends on {'.'.join(names) or _name_in(item)}"
        if kind in _ON_TABLES | {"OBJECT_SEQUENCE"} and names:
            yield _ACCESS, ".".join(names)
            if kind == "OBJECT_TABLE":
                yield _ACCESS, f"{WORDS}a foreign key or a partition joins with {'.'.join(names)}"
        elif kind == "OBJECT_STATISTIC_EXT" and names:
            yield _UPDATE, f"{WORDS}the statistics {'.'.join(names)} are of"
        elif kind in _ON_PARTS and len(names) > 1:
            yield _ACCESS, ".".join(names[:-1])
        elif kind == "OBJECT_INDEX" and names:
            mode = _UPDATE if statement.concurrent else _ACCESS
            yield mode, f"{_TABLE_OF}{'.'.join(names)}"


def _vacuum(statement: Any) -> Iterator[Lock]:
    full = any(option.def_elem.defname == "full" for option in statement.options)
    for item in statement.rels:
        yield (_ACCESS if full else _UPDATE), relation_name(item.vacuum_relation.relation)


def _lock(statement: Any) -> Iterator[Lock]:
    for item in statement.relations:
        if mode := _BY_NUMBER.get(statement.mode):
            yield mode, relation_name(item.range_var)


def _truncate(statement: Any) -> Iterator[Lock]:
    for item in statement.relations:
        yield _ACCESS, relation_name(item.range_var)
        if label(statement, "behavior") == "DROP_CASCADE":
            yield _ACCESS, f"{WORDS}refers to {relation_name(item.range_var)}"


def _index(statement: Any) -> Iterator[Lock]:
    yield (_UPDATE if statement.concurrent else _SHARE), relation_name(statement.relation)


def _refresh(statement: Any) -> Iterator[Lock]:
    yield (_EXCLUSIVE if statement.concurrent else _ACCESS), relation_name(statement.relation)


def _reindex(statement: Any) -> Iterator[Lock]:
    concurrent = any(p.def_elem.defname == "concurrently" for p in statement.params)
    if statement.HasField("relation"):
        what = "" if label(statement, "kind") == "REINDEX_OBJECT_TABLE" else _TABLE_OF
        # the indexes themselves are locked against everybody, which stops most queries too
        yield (_UPDATE if concurrent else _SHARE), what + relation_name(statement.relation)


def _comment(statement: Any) -> Iterator[Lock]:
    kind, names = label(statement, "objtype"), [part.string.sval for part in statement.object.list.items]
    if kind in _ON_TABLES | {"OBJECT_SEQUENCE"}:
        yield _UPDATE, ".".join(names)
    elif kind == "OBJECT_COLUMN":
        yield _UPDATE, ".".join(names[:-1])


def _view(statement: Any) -> Iterator[Lock]:
    if statement.replace:
        yield _ACCESS, relation_name(statement.view)


def _copy(statement: Any) -> Iterator[Lock]:
    if statement.is_from:
        yield _ROW, relation_name(statement.relation)


def _statistics(statement: Any) -> Iterator[Lock]:
    for item in statement.relations:
        if item.HasField("range_var"):
            yield _UPDATE, relation_name(item.range_var)


def _publication(statement: Any) -> Iterator[Lock]:
    for item in statement.pubobjects:
        if item.publication_obj_spec.HasField("pubtable"):
            yield _UPDATE, relation_name(item.publication_obj_spec.pubtable.relation)
    if "action" in statement.DESCRIPTOR.fields_by_name and label(statement, "action") == "AP_SetObjects":
        yield _UPDATE, f"{WORDS}was in the publication {statement.pubname}"


def _domain(statement: Any) -> Iterator[Lock]:
    # C: a constraint is added; V: one is validated; O: NULL is no value any more
    if statement.subtype in ("C", "V", "O"):
        yield _SHARE, f"{WORDS}has columns of the domain {'.'.join(part.string.sval for part in statement.type_name)}"


def _owner(statement: Any) -> Iterator[Lock]:
    if label(statement, "object_type") in _ON_TABLES | {"OBJECT_SEQUENCE"}:
        yield _ACCESS, relation_name(statement.relation)


def _rename(statement: Any) -> Iterator[Lock]:
    mode = _UPDATE if label(statement, "rename_type") == "OBJECT_INDEX" else _ACCESS
    yield mode, relation_name(statement.relation)


def _name_in(item: Any) -> str:
    """Return the name of an object that is dropped, where it is no plain list of words."""
    if item.HasField("string"):
        return str(item.string.sval)
    kind = item.WhichOneof("node") or ""
    inner = getattr(item, kind)
    for field in ("objname", "names"):
        if kind and field in inner.DESCRIPTOR.fields_by_name:
            return ".".join(part.string.sval for part in getattr(inner, field))
    return "it"


_TAKES: dict[str, Callable[[Any], Iterator[Lock]]] = {
    "alter_domain_stmt": _domain,
    "alter_owner_stmt": _owner,
    "alter_publication_stmt": _publication,
    "alter_seq_stmt": _one(_SHARE_ROW, "sequence"),
    "alter_table_stmt": _alter,
    "alter_object_schema_stmt": _one(_ACCESS),
    "alter_policy_stmt": _one(_ACCESS, "table"),
    "cluster_stmt": _one(_ACCESS),
    "comment_stmt": _comment,
    "copy_stmt": _copy,
    "create_policy_stmt": _one(_ACCESS, "table"),
    "create_publication_stmt": _publication,
    "create_stats_stmt": _statistics,
    "create_stmt": _create,
    "create_trig_stmt": _one(_SHARE_ROW),
    "delete_stmt": _one(_ROW),
    "drop_stmt": _drop,
    "index_stmt": _index,
    "insert_stmt": _one(_ROW),
    "lock_stmt": _lock,
    "merge_stmt": _one(_ROW),
    "refresh_mat_view_stmt": _refresh,
    "reindex_stmt": _reindex,
    "rename_stmt": _rename,
    "rule_stmt": _one(_ACCESS),
    "truncate_stmt": _truncate,
    "update_stmt": _one(_ROW),
    "vacuum_stmt": _vacuum,
    "view_stmt": _view,
}
