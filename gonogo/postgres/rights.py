"""What a role may on a target, level by level, and the SQL that gives it what it lacks: asked of the server, never assumed.

Each level needs those before it, but `look`, which is all that who reads and decides needs. PostgreSQL's manual says which right
each work needs: "Privileges", "Predefined Roles", "ALTER TABLE" (its owner), "CREATE DATABASE", "pg_dump" (row security).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gonogo.postgres.connection import Connection
from gonogo.postgres.schemas import USERS_SCHEMAS
from gonogo.postgres.stand_in import REACHES_MORE


class Level(StrEnum):
    """What somebody wants to do with a target."""

    LOOK = "look"
    RUN = "run"
    BACKUP = "backup"
    COPY = "copy"
    RESTORE = "restore"


#: what each is for, for people
PURPOSES = {
    Level.LOOK: "read and decide: status, report, events, go",
    Level.RUN: "run steps, and undo them",
    Level.BACKUP: "take backups, and rehearse on copies on another server",
    Level.COPY: "make copies on the target's own server",
    Level.RESTORE: "restore a backup by a swap of names",
}


@dataclass(frozen=True, kw_only=True)
class Lack:
    """A right that a role lacks, and what gives it."""

    level: Level
    what: str
    grant: str


_ME = "pg_catalog.quote_ident(current_user)"
_DATABASE = "pg_catalog.quote_ident(pg_catalog.current_database())"
_RELATIONS = f"""pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE {USERS_SCHEMAS} AND c.relpersistence <> 't' AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')"""
_SOME = """pg_catalog.min(pg_catalog.format('%I.%I', n.nspname, c.relname))
  || CASE WHEN pg_catalog.count(*) > 1 THEN ' and ' || pg_catalog.count(*) - 1 || ' more' ELSE '' END"""
#: that belong to somebody else, and to themselves: a sequence of a column goes with its table
_OWNED = """c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.objid = c.oid AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i'))"""
_SUPERUSER = "EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = current_user AND rolsuper)"
#: of each level: what is lacking, and the SQL that gives it; a row for each thing
_QUERIES: dict[Level, tuple[str, ...]] = {
    Level.LOOK: (
        f"""SELECT 'it may not use the schema gonogo', 'GRANT USAGE ON SCHEMA gonogo TO ' || {_ME}
        FROM pg_catalog.pg_namespace n WHERE n.nspname = 'gonogo' AND NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE')""",
        f"""SELECT 'it may not read the ledger', 'GRANT SELECT ON ALL TABLES IN SCHEMA gonogo TO ' || {_ME}
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'gonogo' AND c.relkind = 'r' AND NOT pg_catalog.has_table_privilege(c.oid, 'SELECT')
        HAVING pg_catalog.count(*) > 0""",
    ),
    Level.RUN: (
        f"""SELECT 'it may not make the schema gonogo, in which the ledger lies',
        'CREATE SCHEMA gonogo AUTHORIZATION ' || {_ME}
        WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'gonogo')
        AND NOT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')""",
        f"""SELECT 'the ledger belongs to ' || pg_catalog.quote_ident(r.rolname), CASE
          WHEN {REACHES_MORE} THEN pg_catalog.format('ALTER SCHEMA gonogo OWNER TO %I', current_user)
          ELSE pg_catalog.format('GRANT %I TO %I', r.rolname, current_user) END
        FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner
        WHERE n.nspname = 'gonogo' AND NOT pg_catalog.pg_has_role(n.nspowner, 'USAGE')
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'event'
          AND pg_catalog.has_table_privilege(c.oid, 'INSERT'))""",
        f"""SELECT 'it may not alter what belongs to ' || pg_catalog.quote_ident(r.rolname) || ': ' || {_SOME},
        pg_catalog.format('GRANT %I TO %I', r.rolname, current_user) FROM pg_catalog.pg_roles r, {_RELATIONS}
        AND r.oid = c.relowner AND NOT {REACHES_MORE} AND {_OWNED} GROUP BY r.rolname ORDER BY r.rolname""",
        f"""SELECT pg_catalog.format('it may not alter %I.%I, of a superuser or who can become one', n.nspname, c.relname),
        pg_catalog.format('ALTER TABLE %I.%I OWNER TO %I', n.nspname, c.relname, current_user)
        FROM pg_catalog.pg_roles r, {_RELATIONS} AND r.oid = c.relowner AND {REACHES_MORE} AND {_OWNED}
        AND c.relkind NOT IN ('v', 'm')
        ORDER BY n.nspname, c.relname""",
        f"""SELECT 'it may not make anything in the schema ' || pg_catalog.quote_ident(n.nspname),
        pg_catalog.format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', n.nspname, current_user) FROM pg_catalog.pg_namespace n
        WHERE {USERS_SCHEMAS} AND NOT (pg_catalog.has_schema_privilege(n.oid, 'CREATE')
          AND pg_catalog.has_schema_privilege(n.oid, 'USAGE'))
        AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p'))""",
        f"""SELECT 'it may not make temporary tables, by which is measured what an undo destroys',
        'GRANT TEMPORARY ON DATABASE ' || {_DATABASE} || ' TO ' || {_ME}
        WHERE NOT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY')""",
    ),
    Level.BACKUP: (
        f"""SELECT 'it may not read ' || {_SOME}, 'GRANT pg_read_all_data TO ' || {_ME}
        FROM {_RELATIONS} AND (c.relkind IN ('r', 'p', 'm') AND NOT pg_catalog.has_table_privilege(c.oid, 'SELECT')
          OR c.relkind = 'S' AND NOT pg_catalog.has_sequence_privilege(c.oid, 'SELECT')
          OR NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE')) HAVING pg_catalog.count(*) > 0""",
        f"""SELECT 'row security hides rows of ' || {_SOME}, 'ALTER ROLE ' || {_ME} || ' BYPASSRLS'
        FROM {_RELATIONS} AND c.relkind IN ('r', 'p') AND pg_catalog.row_security_active(c.oid) HAVING pg_catalog.count(*) > 0""",
    ),
    Level.COPY: (
        f"""SELECT 'it may not make databases', 'ALTER ROLE ' || {_ME} || ' CREATEDB'
        FROM pg_catalog.pg_roles WHERE rolname = current_user AND NOT (rolcreatedb OR rolsuper)""",
    ),
    Level.RESTORE: (
        f"""SELECT 'the database belongs to ' || pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(d.datdba)),
        'ALTER DATABASE ' || {_DATABASE} || ' OWNER TO ' || {_ME} FROM pg_catalog.pg_database d
        WHERE d.datname = pg_catalog.current_database() AND NOT pg_catalog.pg_has_role(d.datdba, 'USAGE')""",
        f"""SELECT 'it may not end the sessions of others', 'GRANT pg_signal_backend TO ' || {_ME}
        WHERE NOT {_SUPERUSER} AND NOT pg_catalog.pg_has_role('pg_signal_backend', 'USAGE')""",
    ),
}


def up_to(level: Level) -> tuple[Level, ...]:
    """Return the levels that one includes."""
    known = tuple(Level)
    return known[: known.index(level) + 1]


def lacking(connection: Connection, level: Level) -> list[Lack]:
    """Return the rights that the role of a connection lacks for a level, in the order in which they are to be given.

    Args:
        connection: as gonogo works on the target; nothing is changed.
        level: what is to be done.
    """
    return [lack for each in up_to(level) for lack in lacking_of(connection, each)]


def lacking_of(connection: Connection, level: Level) -> list[Lack]:
    """Return the rights that the role of a connection lacks for one level, beyond those before it."""
    return [
        Lack(level=level, what=str(what), grant=f"{grant};")
        for query in _QUERIES[level]
        for what, grant in connection.execute(query.encode()).fetchall()
    ]


__all__ = ["PURPOSES", "Lack", "Level", "lacking", "lacking_of", "up_to"]
