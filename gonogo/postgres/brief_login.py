"""A role that logs in for a while, with no rights but those that it is given, and is gone afterwards."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from gonogo.postgres.connection import connect_plainly
from gonogo.postgres.scratch import left_by_the_dead, mark


class CannotLogIn(Exception):
    """The server does not let the role in; the text is what it said."""


@contextmanager
def brief_login(connection: psycopg.Connection[Any], url: str, prefix: str, options: sql.Composable) -> Iterator[str]:
    """Make a role that may log in, for a while; yield the URL by which it does.

    Args:
        connection: of a role that may make roles; it stays open meanwhile.
        url: the database in which the role logs in.
        prefix: what the role's name begins with; those that killed processes left are dropped.
        options: the role's options, as SQL.

    Raises:
        CannotLogIn: the server does not let it in.
    """
    _sweep(connection, prefix)
    name, password = f"{prefix}{os.getpid()}_{secrets.token_hex(4)}", secrets.token_urlsafe(24)
    role = sql.Identifier(name)
    # the password itself never reaches the server's log
    kept = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} ").format(role, sql.Literal(kept)) + options)
    try:
        connection.execute(sql.SQL("COMMENT ON ROLE {} IS {}").format(role, sql.Literal(mark(os.getpid()))))
        its_url = make_conninfo(url, user=name, password=password)
        try:
            with connect_plainly(its_url, connect_timeout=10):
                pass
        except psycopg.OperationalError as error:
            raise CannotLogIn(str(error).strip()) from None
        yield its_url
    finally:
        _drop(connection, name)


def _drop(connection: psycopg.Connection[Any], name: str) -> None:
    """Drop a role with all that it was given meanwhile; where something holds it, the next one tries again."""
    role = sql.Identifier(name)
    with suppress(psycopg.Error):
        connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(role))
        connection.execute(sql.SQL("DROP ROLE {}").format(role))


def _sweep(connection: psycopg.Connection[Any], prefix: str) -> None:
    """Drop the roles of processes that were killed before they could."""
    rows = connection.execute(
        "SELECT rolname::text, pg_catalog.shobj_description(oid, 'pg_authid') FROM pg_catalog.pg_roles"
        " WHERE pg_catalog.starts_with(rolname, %s)",
        [prefix],
    ).fetchall()
    for name, comment in rows:
        if left_by_the_dead(str(comment or "")):
            _drop(connection, str(name))
