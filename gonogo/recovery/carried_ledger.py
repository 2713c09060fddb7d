"""The ledger, kept in files while the database that it lies in is replaced by another one."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
from psycopg import sql

from gonogo import private_files
from gonogo.ledger import store
from gonogo.postgres.connection import Connection, transaction
from gonogo.postgres.tools import Say

_TABLES = ("run", "event", "script", "fence", "delivery")
_GRANTS_FILE = "grants.json"
#: who else may read the ledger, or act by it
_GRANTS = """
WITH granted AS (
  SELECT 'SCHEMA gonogo' AS what, nspacl AS acl, nspowner AS owner, '' AS part
  FROM pg_catalog.pg_namespace WHERE nspname = 'gonogo'
  UNION ALL
  SELECT pg_catalog.format('%s gonogo.%I', CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, relname), relacl, relowner, ''
  FROM pg_catalog.pg_class WHERE relnamespace = 'gonogo'::pg_catalog.regnamespace AND relkind IN ('r', 'v', 'S')
  UNION ALL
  SELECT pg_catalog.format('TABLE gonogo.%I', relname), attacl, relowner, pg_catalog.format(' (%I)', attname)
  FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  WHERE c.relnamespace = 'gonogo'::pg_catalog.regnamespace AND attacl IS NOT NULL
  UNION ALL
  SELECT pg_catalog.format('FUNCTION %s', p.oid::pg_catalog.regprocedure), proacl, proowner, ''
  FROM pg_catalog.pg_proc p WHERE pronamespace = 'gonogo'::pg_catalog.regnamespace
)
SELECT pg_catalog.format('REVOKE ALL ON %s FROM PUBLIC', what) FROM granted WHERE acl IS NOT NULL AND part = ''
UNION ALL
SELECT pg_catalog.format('GRANT %s%s ON %s TO %s%s', a.privilege_type, part, what,
  CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END,
  CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM granted, pg_catalog.aclexplode(acl) AS a WHERE a.grantee <> owner
"""


def save(connection: Connection, folder: Path) -> None:
    """Write a ledger as it stands now into a folder that only this account may read."""
    with transaction(connection, read_only=True):
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        for table in _TABLES:
            copied = sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(sql.Identifier("gonogo", table))
            with (
                connection.cursor() as cursor,
                cursor.copy(copied) as taken,
                open(folder / table, "wb", opener=private_files.opener) as file,
            ):
                file.writelines(taken)
        grants = [str(row[0]) for row in connection.execute(_GRANTS).fetchall()]
    private_files.write(folder / _GRANTS_FILE, json.dumps(grants))


def load(connection: Connection, folder: Path, say: Say) -> None:
    """Put a ledger that was saved into the place of what is there, in the caller's transaction.

    The schema stays, and with it what others built on it, as views are.

    Args:
        connection: to the database that it comes into.
        folder: where it was saved.
        say: is told what is not granted any more.
    """
    store.create(connection)
    connection.execute("ALTER TABLE gonogo.event DISABLE TRIGGER append_only")
    connection.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(sql.Identifier("gonogo", each) for each in _TABLES)))
    for table in _TABLES:
        copied = sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(sql.Identifier("gonogo", table))
        with connection.cursor() as cursor, cursor.copy(copied) as given, (folder / table).open("rb") as file:
            while data := file.read(1 << 20):
                given.write(data)
    connection.execute("ALTER TABLE gonogo.event ENABLE TRIGGER append_only")
    connection.execute(
        "SELECT pg_catalog.setval('gonogo.delivery_id_seq', coalesce((SELECT pg_catalog.max(id) FROM gonogo.delivery), 1))"
    )
    for grant in json.loads((folder / _GRANTS_FILE).read_text(encoding="utf-8")):
        if not _granted(connection, str(grant)):
            say(f"not granted on the ledger any more, as what it speaks of is not there now: {grant}")


def _granted(connection: Connection, grant: str) -> bool:
    """Grant something; say whether the role, or the object, is there at all: one that came later went back with the server."""
    try:
        with transaction(connection):
            connection.execute(grant.encode())
    except (psycopg.errors.UndefinedObject, psycopg.errors.UndefinedTable, psycopg.errors.UndefinedFunction):
        return False
    return True


__all__ = ["load", "save"]
