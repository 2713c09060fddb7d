"""The role that a plan runs as, on another server than the target's: of the same name, and with no more rights than there.

On gonogo's own server, or on one that a runbook names, gonogo logs in as a superuser. What the owners of tables wrote, such as
triggers, would act with all its power when a plan is rehearsed there, and reach programs and files of that machine.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gonogo.errors import Refused
from gonogo.postgres.brief_login import CannotLogIn, brief_login
from gonogo.postgres.connection import Connection, connect_plainly

_PREFIX = "gonogo_stand_in_"
#: the version since which a membership has options of its own
_OPTIONS_SINCE = 160000
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
#: what reaches beyond the data of a server: its programs and files, or all of it
POWERFUL = """
(p.rolsuper OR p.rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files'))
"""
#: of a role `r`: it is one of those, or can become one, so whoever is given it can as well
REACHES_MORE = f"""
EXISTS (SELECT FROM pg_catalog.pg_roles p WHERE {POWERFUL} AND pg_catalog.pg_has_role(r.oid, p.oid, 'MEMBER'))
"""
_LOGIN = """
SELECT l.rolname::text, l.rolsuper, l.rolcreatedb, c.rolname::text, c.rolsuper, pg_catalog.pg_has_role(d.datdba, 'USAGE')
FROM pg_catalog.pg_roles l, pg_catalog.pg_roles c, pg_catalog.pg_database d
WHERE l.rolname = session_user AND c.rolname = current_user AND d.datname = pg_catalog.current_database()
"""
# before 16 a membership has no options but one: whether rights come by themselves is said of the member
_ROLES = """
WITH RECURSIVE mine(oid) AS (
  SELECT oid FROM pg_catalog.pg_roles WHERE rolname IN (session_user, current_user)
  UNION SELECT m.roleid FROM pg_catalog.pg_auth_members m JOIN mine ON m.member = mine.oid
)
SELECT r.rolname::text, r.rolinherit, r.rolcreaterole, r.rolbypassrls, r.rolcreatedb, (
  SELECT pg_catalog.array_agg(pg_catalog.concat_ws('/', of.admin, of.inherits, of.sets, of.name) ORDER BY of.name) FROM (
    SELECT g.rolname::text AS name, pg_catalog.bool_or(m.admin_option) AS admin,
      pg_catalog.bool_or(coalesce((pg_catalog.to_jsonb(m)->>'inherit_option')::boolean, r.rolinherit)) AS inherits,
      pg_catalog.bool_or(coalesce((pg_catalog.to_jsonb(m)->>'set_option')::boolean, true)) AS sets
    FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
    WHERE m.member = r.oid AND NOT g.rolsuper AND (g.oid >= 16384 OR g.rolname = ANY (%s)) GROUP BY 1) AS of)
FROM pg_catalog.pg_roles r JOIN mine USING (oid) WHERE NOT r.rolsuper AND r.oid >= 16384 ORDER BY 1
"""
_THERE = f"""
SELECT r.rolname::text, r.rolcreaterole, r.rolbypassrls, r.rolcreatedb, r.rolsuper, {REACHES_MORE}
FROM pg_catalog.pg_roles r
"""
_OF = """
SELECT g.rolname::text FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
JOIN pg_catalog.pg_roles r ON r.oid = m.member WHERE r.rolname = %s
"""


class Membership(NamedTuple):
    """A role that another one is a member of, and how."""

    of: str
    #: whether the member may make others members
    admin: bool = False
    #: whether its rights come by themselves
    inherits: bool = True
    #: whether the member may act as it
    sets: bool = True


@dataclass(frozen=True, kw_only=True)
class Role:
    """A role of the target's server: what it may, and which roles it is a member of."""

    name: str
    inherits: bool = True
    makes_roles: bool = False
    passes_row_security: bool = False
    makes_databases: bool = False
    member_of: tuple[Membership, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Login:
    """Who a connection to the target is."""

    name: str
    superuser: bool = False
    makes_databases: bool = False
    #: the role that it acts as, and whether that is a superuser, or has the rights of who owns the database
    acts_as: str
    acts_as_superuser: bool = False
    owns: bool = False
    #: all the roles whose rights it has, or may take
    roles: tuple[Role, ...] = ()


def login_of(connection: Connection) -> Login:
    """Return who a connection is, and what it may."""
    # a session has a role and a database
    row = connection.execute(_LOGIN).fetchone() or ("", False, False, "", False, False)
    name, superuser, makes_databases, acts_as, acts_as_superuser, owns = row
    roles = tuple(
        Role(
            name=each,
            inherits=inherits,
            makes_roles=makes_roles,
            passes_row_security=passes,
            makes_databases=makes,
            member_of=tuple(map(_membership, of or ())),
        )
        for each, inherits, makes_roles, passes, makes, of in connection.execute(_ROLES, [list(_HARMLESS)]).fetchall()
    )
    return Login(
        name=name,
        superuser=superuser,
        makes_databases=makes_databases,
        acts_as=acts_as,
        acts_as_superuser=acts_as_superuser,
        owns=owns,
        roles=roles,
    )


def _membership(said: str) -> Membership:
    admin, inherits, sets, of = said.split("/", 3)
    return Membership(of, admin == "t", inherits == "t", sets == "t")


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """Who acts on a copy."""

    #: the role that it acts as, and whether the copy belongs to it
    role: str
    owns: bool
    _user: str
    _password: str = field(repr=False)

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
    if login.acts_as_superuser:
        raise Refused(
            f"{login.acts_as}, which the plan runs as, is a superuser, and {login.name}, which logs in, is none: nobody gets such"
            " rights on another server. Let copies be made beside the target: ALTER ROLE ... CREATEDB, and no rehearse_on"
        )
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
            sql.SQL("CREATEDB" if login.makes_databases else "NOCREATEDB"),
            sql.SQL(", ").join(sql.Identifier(name) for name in dict.fromkeys((login.acts_as, login.name))),
        )
        try:
            with brief_login(connection, server, _PREFIX, options) as url:
                its = conninfo_to_dict(url)
                yield StandIn(role=login.acts_as, owns=login.owns, _user=str(its["user"]), _password=str(its["password"]))
        except CannotLogIn as error:
            raise Refused(
                f"a rehearsal there runs as a role of its own, {_PREFIX}..., with the rights of {login.acts_as}; it cannot log"
                f" in: {error}. Let it in (pg_hba.conf), or leave rehearse_on out"
            ) from None


def _make(connection: psycopg.Connection[Any], login: Login, *, ours: bool) -> None:
    """Make the roles that are missing, and let each have what it has on the target.

    Raises:
        Refused: one that is there has more than on the target, and stays as it is.
    """
    there = {str(row[0]): tuple(map(bool, row[1:])) for row in connection.execute(_THERE.encode()).fetchall()}
    for role in login.roles:
        if role.name not in there:
            # another rehearsal may make it in the same moment
            with suppress(psycopg.errors.UniqueViolation, psycopg.errors.DuplicateObject):
                connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role.name)))
            continue
        makes_roles, passes, makes_databases, superuser, powerful = there[role.name]
        more = not ours and (
            (makes_roles and not role.makes_roles)
            or (passes and not role.passes_row_security)
            or (makes_databases and not role.makes_databases)
        )
        # on a server of gonogo's own it has what is given to it below, unless it is a superuser
        if superuser or (powerful and not ours) or more:
            raise Refused(
                f"{role.name} may do more on the server for copies than on the target: a rehearsal there would have more rights"
                " than a run here. Let the role make databases (ALTER ROLE ... CREATEDB), so that copies are made beside the"
                " target, or name a server where it has no such rights: rehearse_on"
            )
    known = {str(row[0]) for row in connection.execute("SELECT rolname::text FROM pg_catalog.pg_roles").fetchall()}
    for role in login.roles:
        if ours or role.name not in there:
            # at once, so that another rehearsal of the same role misses nothing meanwhile
            with connection.transaction():
                _give(connection, role, known)


def _give(connection: psycopg.Connection[Any], role: Role, known: Collection[str]) -> None:
    """Let a role have what it has on the target, and no more, as far as the roles of it are known there."""
    has = {
        "INHERIT": role.inherits,
        "CREATEROLE": role.makes_roles,
        "BYPASSRLS": role.passes_row_security,
        "CREATEDB": role.makes_databases,
    }
    name = sql.Identifier(role.name)
    options = " ".join(option if held else f"NO{option}" for option, held in has.items())
    connection.execute(sql.SQL("ALTER ROLE {} ").format(name) + sql.SQL(options))
    for (before,) in connection.execute(_OF, [role.name]).fetchall():
        connection.execute(sql.SQL("REVOKE {} FROM {} CASCADE").format(sql.Identifier(before), name))
    for of, *how in role.member_of:
        # a newer server may have roles of its own that this one lacks
        if of not in known:
            continue
        grant = sql.SQL("GRANT {} TO {}").format(sql.Identifier(of), name)
        if connection.info.server_version >= _OPTIONS_SINCE:
            words = ", ".join(
                f"{option} {'TRUE' if on else 'FALSE'}" for option, on in zip(("ADMIN", "INHERIT", "SET"), how, strict=True)
            )
            grant += sql.SQL(f" WITH {words}")
        elif how[0]:
            grant += sql.SQL(" WITH ADMIN OPTION")
        connection.execute(grant)
