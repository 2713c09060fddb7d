"""The role that loads rows into a copy. What the owners of tables wrote runs with its rights, and it may only write rows.

A CHECK constraint, a generated column or a domain calls functions for every row. Loaded by a superuser, a row would let whoever
owns its table do everything on that server. What runs later does so as the owner of the table: indexes, foreign keys,
materialized views (PostgreSQL's manual, "CREATE INDEX", "REFRESH MATERIALIZED VIEW").
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gonogo import private_files
from gonogo.postgres.connection import connect_plainly
from gonogo.postgres.scratch import left_by_the_dead, mark
from gonogo.recovery.manifest import BackupFailed

_NAME = "gonogo_loader_"
#: an entry of a dump's table of contents, as `pg_restore --list` writes it: what it is, and whose
_ROWS = re.compile(r"\d+; \d+ \d+ TABLE DATA ")
_CHECK = re.compile(r"\d+; \d+ \d+ CHECK CONSTRAINT ")
_ROLES = "SELECT rolname::text, rolsuper FROM pg_catalog.pg_roles"


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Lists of a dump's entries: rows, constraints that look at rows that are there, and all else.

    What a superuser owns belongs to all else: what it calls, a superuser chose.
    """

    rows: Path
    checks: Path
    rest: Path
    #: who own the first two
    owners: tuple[str, ...]


def parts_of(listed: Path, superusers: Mapping[str, bool]) -> Parts:
    """Write the lists of what is restored as whom, beside the list of everything.

    Args:
        listed: the list.
        superusers: of each role, whether it is one.
    """
    rows, checks, rest, owners = list[str](), list[str](), list[str](), dict[str, None]()
    for line in listed.read_text(encoding="utf-8").splitlines():
        # an entry ends with its owner, whose name may hold blanks
        owner = max((role for role in superusers if line.endswith(f" {role}")), key=len, default="")
        guarded = bool(owner) and not superusers[owner]
        if guarded and _ROWS.match(line):
            rows.append(line)
            owners[owner] = None
        elif guarded and _CHECK.match(line):
            checks.append(line)
            owners[owner] = None
        else:
            rest.append(line)
    made = Parts(
        rows=listed.with_name("rows"), checks=listed.with_name("checks"), rest=listed.with_name("rest"), owners=(*owners,)
    )
    for file, lines in ((made.rows, rows), (made.checks, checks), (made.rest, rest)):
        private_files.write(file, "".join(f"{line}\n" for line in lines))
    return made


@contextmanager
def loader(url: str) -> Iterator[str]:
    """Make a role that may write rows, for a while; yield the URL by which it logs in.

    Nothing is made, and nothing yielded, where this role is no superuser: then rows are loaded with its own rights.

    Args:
        url: the database that is being filled.

    Raises:
        BackupFailed: that role may not log in there.
    """
    with connect_plainly(url) as connection:
        row = connection.execute("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user").fetchone()
        if row is None or not row[0]:
            yield ""
            return
        _sweep(connection)
        name, password = f"{_NAME}{os.getpid()}_{secrets.token_hex(4)}", secrets.token_urlsafe(24)
        role = sql.Identifier(name)
        # the password itself never reaches the server's log
        kept = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE pg_write_all_data").format(role, sql.Literal(kept)))
        try:
            connection.execute(sql.SQL("COMMENT ON ROLE {} IS {}").format(role, sql.Literal(mark(os.getpid()))))
            its_url = make_conninfo(url, user=name, password=password)
            _require_login(its_url, str(connection.info.user))
            yield its_url
        finally:
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


def superusers(url: str) -> dict[str, bool]:
    """Return of each role of a server whether it is a superuser."""
    with connect_plainly(url) as connection:
        return {str(name): bool(is_one) for name, is_one in connection.execute(_ROLES).fetchall()}


@contextmanager
def owning(url: str, its_url: str, owners: tuple[str, ...]) -> Iterator[None]:
    """Let the loader have the rights of some owners for a while: what they wrote may need them."""
    name = sql.Identifier(str(conninfo_to_dict(its_url)["user"]))
    with connect_plainly(url) as connection:
        found = [sql.Identifier(owner) for owner in owners]
        for owner in found:
            connection.execute(sql.SQL("GRANT {} TO {}").format(owner, name))
        try:
            yield
        finally:
            for owner in found:
                connection.execute(sql.SQL("REVOKE {} FROM {}").format(owner, name))


def _require_login(url: str, user: str) -> None:
    try:
        with connect_plainly(url, connect_timeout=10):
            pass
    except psycopg.OperationalError as error:
        raise BackupFailed(
            f"rows are loaded into a copy by a role of its own, {_NAME}..., so that nothing which the owners of tables wrote runs"
            f" as {user}; it cannot log in: {str(error).strip()}. Let it in (pg_hba.conf), or name another server: rehearse_on"
        ) from None


def _sweep(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Drop the roles of processes that were killed before they could."""
    rows = connection.execute(
        "SELECT rolname::text, pg_catalog.shobj_description(oid, 'pg_authid') FROM pg_catalog.pg_roles"
        " WHERE pg_catalog.starts_with(rolname, %s)",
        [_NAME],
    ).fetchall()
    for name, comment in rows:
        if left_by_the_dead(str(comment or "")):
            with suppress(psycopg.Error):
                connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(str(name))))
