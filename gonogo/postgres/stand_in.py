"""The role that a plan runs as, on another server than the target's: of the same name, and with no more rights than there.

On gonogo's own server, or on one that a runbook names, gonogo logs in as a superuser. What the owners of tables wrote, such as
triggers, would act with all its power when a plan is rehearsed there, and reach programs and files of that machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gonogo.errors import Refused
from gonogo.postgres.brief_login import CannotLogIn, brief_login
from gonogo.postgres.connection import Connection, connect_plainly

_PREFIX = "gonogo_stand_in_"
#: what PostgreSQL's own roles let somebody do that reaches no further than the server's data; the others reach its machine
_HARMLESS = (
    "pg_checkpoint",
    "pg_maintain",
    "pg_monitor",
    "pg_read_all_data",
    "pg_read_all_settings",
    "pg_read_all_stats",
    "pg_signal_backend",
    "pg_stat_scan_tables",
    "pg_write_all_data",
)
_LOGIN = """
SELECT l.rolname::text, l.rolsuper, l.rolcreatedb, c.rolname::text FROM pg_catalog.pg_roles l, pg_catalog.pg_roles c
WHERE l.rolname = session_user AND c.rolname = current_user
"""
_ROLES = """
WITH RECURSIVE mine(oid) AS (
  SELECT oid FROM pg_catalog.pg_roles WHERE rolname IN (session_user, current_user)
  UNION SELECT m.roleid FROM pg_catalog.pg_auth_members m JOIN mine ON m.member = mine.oid
)
SELECT r.rolname::text, r.rolinherit, r.rolcreaterole, r.rolbypassrls,
  ARRAY(SELECT g.rolname::text FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
        WHERE m.member = r.oid AND NOT g.rolsuper AND (g.oid >= 16384 OR g.rolname = ANY (%s)) ORDER BY 1)
FROM pg_catalog.pg_roles r JOIN mine USING (oid) WHERE NOT r.rolsuper AND (r.oid >= 16384) ORDER BY 1
"""


@dataclass(frozen=True, kw_only=True)
class Role:
    """A role of the target's server: what it may, and which roles it is a member of."""

    name: str
    inherits: bool
    makes_roles: bool
    passes_row_security: bool
    member_of: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Login:
    """Who a connection to the target is."""

    name: str
    superuser: bool
    makes_databases: bool
    #: the role that it acts as
    acts_as: str
    #: all the roles whose rights it has, or may take
    roles: tuple[Role, ...]


def login_of(connection: Connection) -> Login:
    """Return who a connection is, and what it may."""
    name, superuser, makes_databases, acts_as = connection.execute(_LOGIN).fetchone() or ("", False, False, "")
    rows = connection.execute(_ROLES, [list(_HARMLESS)]).fetchall()
    roles = (Role(name=n, inherits=i, makes_roles=m, passes_row_security=p, member_of=tuple(of)) for n, i, m, p, of in rows)
    return Login(name=name, superuser=superuser, makes_databases=makes_databases, acts_as=acts_as, roles=tuple(roles))


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """Who acts on a copy."""

    #: the role that it acts as, which owns the copy
    role: str
    _user: str
    _password: str

    def at(self, url: str) -> str:
        """Return the URL by which it reaches a database that a superuser made there."""
        return make_conninfo(url, user=self._user, password=self._password)


@contextmanager
def standing_in(server: str, login: Login, *, ours: bool) -> Iterator[StandIn | None]:
    """Let somebody be on another server who they are on the target's, for a while.

    Nobody is needed, and nothing is yielded, where gonogo is no superuser there, or is one on the target, too.

    Args:
        server: the URL of the other server.
        login: who they are.
        ours: whether it is gonogo's own server, whose roles are what gonogo makes of them. On another one, roles that are there
            already stay as they are.

    Raises:
        Refused: the other server cannot be reached, or does not let them in.
    """
    if login.superuser:
        yield None
        return
    try:
        connection = connect_plainly(server)
    except psycopg.OperationalError as error:
        raise Refused(f"the server for copies cannot be reached: {str(error).strip()}") from None
    with connection:
        row = connection.execute("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user").fetchone()
        if row is None or not row[0]:
            yield None
            return
        _make(connection, login, ours=ours)
        options = sql.SQL("{} IN ROLE {}").format(
            sql.SQL("CREATEDB" if login.makes_databases else "NOCREATEDB"), sql.Identifier(login.acts_as)
        )
        try:
            with brief_login(connection, server, _PREFIX, options) as url:
                its = conninfo_to_dict(url)
                yield StandIn(role=login.acts_as, _user=str(its["user"]), _password=str(its["password"]))
        except CannotLogIn as error:
            raise Refused(
                f"a rehearsal there runs as a role of its own, {_PREFIX}..., with the rights of {login.acts_as}; it cannot log"
                f" in: {error}. Let it in (pg_hba.conf), or leave rehearse_on out"
            ) from None


def _make(connection: psycopg.Connection[Any], login: Login, *, ours: bool) -> None:
    """Make the roles that are missing, and let each have what it has on the target."""
    rows = connection.execute("SELECT rolname::text, rolsuper FROM pg_catalog.pg_roles").fetchall()
    there = {str(name): bool(superuser) for name, superuser in rows}
    if above := [role.name for role in login.roles if there.get(role.name)]:
        raise Refused(
            f"{above[0]} is no superuser on the target, but is one on the server for copies: a rehearsal there would have more"
            " rights than a run here. Let the role make databases (ALTER ROLE ... CREATEDB), so that copies are made beside the"
            " target, or name a server where it is no superuser: rehearse_on"
        )
    for role in login.roles:
        if role.name not in there:
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role.name)))
    for role in login.roles:
        if role.name in there and not ours:
            continue
        has = {"INHERIT": role.inherits, "CREATEROLE": role.makes_roles, "BYPASSRLS": role.passes_row_security}
        options = " ".join(option if held else f"NO{option}" for option, held in has.items())
        connection.execute(sql.SQL("ALTER ROLE {} ").format(sql.Identifier(role.name)) + sql.SQL(options))
        known = {str(row[0]) for row in connection.execute("SELECT rolname::text FROM pg_catalog.pg_roles").fetchall()}
        for of in role.member_of:
            # a newer server may have roles of its own that this one lacks
            if of in known:
                connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(of), sql.Identifier(role.name)))
