"""Which rights a script needs, and which of them the role that runs it lacks: told at the gate, not in the middle of the night.

A need is a pair of words: what is done, and to what. Only what PostgreSQL's manual says of a statement itself is asked (the
"Notes" of its page); what functions and DO blocks do inside is theirs. What is not there yet is the run's own to make.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import psycopg
from psycopg import sql

from gonogo.postgres.connection import Connection, as_the_role_sees, full_name, transaction
from gonogo.postgres.stand_in import REACHES_MORE
from gonogo.sql.tree import label, named, quoted, quoted_name, quoted_where_needed

OWN, INSERT, UPDATE, DELETE, TRUNCATE = "own", "insert into", "update", "delete from", "truncate"
TRIGGERS, CREATE_IN, SCHEMA, EXTENSION, ROLE = (
    "switch all triggers of",
    "create in",
    "make the schema",
    "make the extension",
    "role",
)
#: a script that changes who may do what is not asked about beforehand
CHANGES_RIGHTS = "rights"
Need = tuple[str, str]
#: the schema of a name that has one
_SCHEMA_OF = re.compile(r'((?:"(?:[^"]|"")+"|[^".]+))\.')

_TABLE = "SELECT {} FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass(%s) AND NOT pg_catalog.{}"
#: who may not; nothing where they may, or where there is nothing of the name
_LACKS = {
    OWN: _TABLE.format("pg_catalog.pg_get_userbyid(relowner)", "pg_has_role(relowner, 'USAGE')"),
    INSERT: _TABLE.format("''", "has_any_column_privilege(oid, 'INSERT')"),
    UPDATE: _TABLE.format("''", "has_any_column_privilege(oid, 'UPDATE')"),
    DELETE: _TABLE.format("''", "has_table_privilege(oid, 'DELETE')"),
    TRUNCATE: _TABLE.format("''", "has_table_privilege(oid, 'TRUNCATE')"),
    TRIGGERS: "SELECT 'those of foreign keys need a superuser; name your own triggers, or DISABLE TRIGGER USER' WHERE EXISTS"
    " (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = pg_catalog.to_regclass(%s) AND tgisinternal)",
    CREATE_IN: "SELECT '' FROM pg_catalog.pg_namespace WHERE nspname = %s AND NOT pg_catalog.has_schema_privilege(oid, 'CREATE')",
    SCHEMA: "SELECT '' WHERE NOT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')"
    " AND NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s)",
    EXTENSION: "SELECT CASE WHEN v.trusted THEN '' ELSE 'it needs a superuser' END FROM pg_catalog.pg_available_extensions e"
    " JOIN pg_catalog.pg_available_extension_versions v ON v.name = e.name AND v.version = e.default_version"
    " WHERE e.name = %s AND e.installed_version IS NULL"
    " AND NOT (v.trusted AND pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'))",
    ROLE: "SELECT '' FROM pg_catalog.pg_roles WHERE rolname = current_user AND NOT rolcreaterole AND %s = ''",
}


#: whether whoever is given a role could do everything, or reach the server's programs and files; and what the relation is
_GIVES = f"""
SELECT {REACHES_MORE}, (SELECT c.relkind::text FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass(%s))
FROM pg_catalog.pg_roles r WHERE r.rolname = %s
"""


def needs_of(node: str, statement: Any) -> list[Need]:
    """Return what a statement needs.

    Args:
        node: the name that PostgreSQL's parser gives it.
        statement: its tree.
    """
    found = _NEEDS.get(node)
    return list(found(statement)) if found else []


def missing(connection: Connection, needs: Iterable[Need]) -> list[str]:
    """Say which needs the role of a connection does not meet.

    Args:
        connection: as the scripts will run.
        needs: what they need.
    """
    wanted = dict.fromkeys(needs)
    if any(what == CHANGES_RIGHTS for what, _ in wanted):
        return []
    row = connection.execute("SELECT current_user, rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user").fetchone()
    if row is None or row[1]:
        return []
    notes = dict[str, None]()
    for what, thing in wanted:
        try:
            meant = _meant(connection, what, thing)
            lack = connection.execute(_LACKS[what].encode(), [meant]).fetchone()
        except psycopg.errors.InsufficientPrivilege as error:
            # whoever may not use a schema may not even ask what is in it
            schema = _SCHEMA_OF.match(thing)
            grant = f" (GRANT USAGE ON SCHEMA {schema[1]} TO {quoted_name(row[0])})" if schema else ""
            notes[f"{row[0]} may not use what is in the schema of {thing}: {error.diag.message_primary}{grant}"] = None
            continue
        if lack is None or (what == EXTENSION and lack[0] and may_make_extension(connection, thing)):
            continue
        does = {OWN: "alter", ROLE: "make roles"}.get(what, what)
        belongs = f", which belongs to {lack[0]}" if what == OWN else f": {lack[0]}" if lack[0] else ""
        grant = _grant(connection, what, meant, row[0], lack[0])
        notes[f"{row[0]} may not {f'{does} {thing or meant}'.strip()}{belongs}{f' ({grant})' if grant else ''}"] = None
    return list(notes)


def _grant(connection: Connection, what: str, thing: str, role: str, lack: str) -> str:
    """Return the SQL that lets a role do something, if there is any."""
    who = quoted_name(role)
    if what in (INSERT, UPDATE, DELETE, TRUNCATE):
        return f"GRANT {what.split(' ', maxsplit=1)[0].upper()} ON {thing} TO {who}"
    if what == OWN:
        more, kind = connection.execute(_GIVES.encode(), [thing, lack]).fetchone() or (True, "")
        if not more:
            return f"GRANT {quoted_name(lack)} TO {who}"
        # who owns a view lends it their rights
        return f"ALTER TABLE {thing} OWNER TO {who}" if kind in ("r", "p") else ""
    if what == CREATE_IN:
        return f"GRANT CREATE ON SCHEMA {quoted_name(thing)} TO {who}"
    if what == SCHEMA or (what == EXTENSION and not lack):
        return f"GRANT CREATE ON DATABASE {quoted_name(connection.info.dbname)} TO {who}"
    return f"ALTER ROLE {who} CREATEROLE" if what == ROLE else ""


def may_make_extension(connection: Connection, name: str) -> bool:
    """Say whether a role may make an extension that is not trusted: managed servers let theirs. It is tried, and taken back."""
    try:
        with transaction(connection, keep=False):
            connection.execute(sql.SQL("SET LOCAL lock_timeout = '1s'; CREATE EXTENSION {} CASCADE").format(sql.Identifier(name)))
    except psycopg.Error:
        return False
    return True


def _meant(connection: Connection, what: str, thing: str) -> str:
    """Return the full name of what is needed, as the scripts find it."""
    if what in (OWN, INSERT, UPDATE, DELETE, TRUNCATE, TRIGGERS):
        return full_name(connection, thing)
    if what == CREATE_IN and not thing:
        with as_the_role_sees(connection):
            row = connection.execute("SELECT pg_catalog.current_schema()").fetchone()
        return str(row[0]) if row and row[0] else ""
    return thing


def _relation(what: str, field: str = "relation") -> Callable[[Any], Iterator[Need]]:
    def need(statement: Any) -> Iterator[Need]:
        yield what, quoted(getattr(statement, field))

    return need


def _alter(statement: Any) -> Iterator[Need]:
    table = quoted(statement.relation)
    kinds = {label(item.alter_table_cmd, "subtype") for item in statement.cmds}
    if "AT_ChangeOwner" in kinds:
        yield CHANGES_RIGHTS, ""
    if label(statement, "objtype") in ("OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_INDEX"):
        yield OWN, table
    if kinds & {"AT_DisableTrigAll", "AT_EnableTrigAll"}:
        yield TRIGGERS, table


def _drop(statement: Any) -> Iterator[Need]:
    if label(statement, "remove_type") in ("OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_INDEX"):
        for item in statement.objects:
            yield OWN, quoted_where_needed(*named(item.list.items))


def _create(statement: Any) -> Iterator[Need]:
    if statement.relation.relpersistence != "t":
        yield CREATE_IN, statement.relation.schemaname


def _function(statement: Any) -> Iterator[Need]:
    names = [part.string.sval for part in statement.funcname]
    yield CREATE_IN, names[0] if len(names) > 1 else ""


def _truncate(statement: Any) -> Iterator[Need]:
    for item in statement.relations:
        yield TRUNCATE, quoted(item.range_var)


def _set(statement: Any) -> Iterator[Need]:
    if statement.name in ("role", "session_authorization", "search_path"):
        yield CHANGES_RIGHTS, ""


def _rights(_: Any) -> Iterator[Need]:
    yield CHANGES_RIGHTS, ""


_NEEDS: dict[str, Callable[[Any], Iterator[Need]]] = {
    "alter_table_stmt": _alter,
    "rename_stmt": lambda s: iter([(OWN, quoted(s.relation))] if s.relation.relname else []),
    "drop_stmt": _drop,
    "index_stmt": _relation(OWN),
    "create_policy_stmt": _relation(OWN, "table"),
    "alter_policy_stmt": _relation(OWN, "table"),
    "insert_stmt": _relation(INSERT),
    "update_stmt": _relation(UPDATE),
    "delete_stmt": _relation(DELETE),
    "truncate_stmt": _truncate,
    "create_stmt": _create,
    "create_function_stmt": _function,
    "create_schema_stmt": lambda s: iter([(SCHEMA, s.schemaname)]),
    "create_extension_stmt": lambda s: iter([(EXTENSION, s.extname)]),
    "create_role_stmt": lambda _: iter([(ROLE, "")]),
    "variable_set_stmt": _set,
    "alter_owner_stmt": _rights,
    "grant_stmt": _rights,
    "grant_role_stmt": _rights,
    "reassign_owned_stmt": _rights,
}

__all__ = ["Need", "missing", "needs_of"]
