"""Scratch databases: where backups are proved and migrations are rehearsed, and which are gone afterwards."""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gonogo.core.model.copies import Copies
from gonogo.errors import Refused
from gonogo.postgres import embedded
from gonogo.postgres.address import resolve_url
from gonogo.postgres.connection import Database, connect_plainly

#: what gonogo's own server is called
EMBEDDED = "the embedded PostgreSQL"
_NAME, _MARK = "gonogo_scratch_", "scratch of process "
#: the bytes up to which a database is copied by way of the log
_SMALL = 64 * 2**20
#: the version since which files can be cloned
_CLONES_SINCE = 180000


@dataclass(frozen=True, kw_only=True)
class ScratchServer:
    """Where a scratch database may be made."""

    #: the database that is copied; its own server is taken where its role may make databases
    database: Database
    #: starts a server of our own, and returns its URL
    spare: Callable[[], str]
    #: a server to use instead of both, and what it is, for people
    server: str = ""
    called: str = "the server named by rehearse_on"
    #: the role that works on copies, where it is not that of the target, and whether they belong to it
    worker: str = ""
    owns: bool = False

    @property
    def owner(self) -> str:
        """The role that copies belong to; empty where that is who makes them."""
        if self.worker:
            return self.worker if self.owns else ""
        return self.database.role

    def choose(self) -> tuple[str, str]:
        """Return the URL of the server to use, and what it is, for people."""
        if self.server:
            return self.server, self.called
        with connect_plainly(self.database.url) as beside:
            may = beside.execute(
                "SELECT rolcreatedb OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"
            ).fetchone()
        return (self.database.url, "the target's own server") if may and may[0] else (self.spare(), EMBEDDED)


#: the extensions that are needed, and those that a server could have
_EXTENSIONS = "SELECT extname::text FROM pg_catalog.pg_extension ORDER BY 1"
_AVAILABLE = "SELECT name::text FROM pg_catalog.pg_available_extensions"


def require_extensions(room: ScratchServer) -> None:
    """Refuse a server for copies that lacks an extension of the target, before anything is copied.

    Raises:
        Refused: it does, or cannot be reached.
    """
    server, called = room.choose()
    if server == room.database.url:
        return
    try:
        with connect_plainly(room.database.url) as target, connect_plainly(server) as other:
            wanted = [str(row[0]) for row in target.execute(_EXTENSIONS).fetchall()]
            there = {str(row[0]) for row in other.execute(_AVAILABLE).fetchall()}
            who = target.info.user
    except psycopg.OperationalError as error:
        raise Refused(f"{called} cannot be reached: {str(error).strip()}") from None
    if missing := [name for name in wanted if name not in there]:
        raise Refused(
            f"{called} has no extension {', '.join(missing)}, which the target has, so no copy of it can be restored there."
            f' Let copies lie beside the target (ALTER ROLE "{who}" CREATEDB), or name a server that has it: `rehearse_on: $NAME`'
        )


def scratch_server_of(database: Database, rehearse_on: str | Copies, state: Path) -> ScratchServer:
    """Return where scratch databases of a target may be made.

    Args:
        database: the target.
        rehearse_on: what the runbook names for it, if anything; copies that something else makes are not for this.
        state: the project's folder for what gonogo keeps; its own server lies in it.

    Raises:
        BadInput: the environment variable that it names is not set.
    """

    def spare() -> str:
        return embedded.start(state / "scratch")

    if rehearse_on == "embedded":
        return ScratchServer(database=database, spare=spare, server=spare(), called=EMBEDDED)
    named = rehearse_on if isinstance(rehearse_on, str) else ""
    return ScratchServer(database=database, spare=spare, server=resolve_url(named) if named else "")


@contextmanager
def scratch(room: ScratchServer, roles: Sequence[str] = ()) -> Iterator[str]:
    """Make an empty database, and drop it afterwards; yield its URL.

    Args:
        room: where.
        roles: the roles that what is restored into it will name; they are made where they are missing, without a login.

    Raises:
        Refused: none can be made there.
    """
    server, where = room.choose()
    # its owner can make the ledger in it
    owner = sql.SQL(" OWNER {}").format(sql.Identifier(room.owner)) if room.owner else sql.SQL("")
    with _made(server, where, sql.SQL("template0") + owner, roles if server != room.database.url else ()) as url:
        let_in(room, url)
        yield url


def let_in(room: ScratchServer, url: str) -> None:
    """Let who works on copies make the ledger in one that does not belong to them."""
    if room.worker and not room.owns:
        with connect_plainly(url) as connection:
            name, role = sql.Identifier(str(connection.info.dbname)), sql.Identifier(room.worker)
            connection.execute(sql.SQL("GRANT CREATE, TEMPORARY ON DATABASE {} TO {}").format(name, role))


@contextmanager
def like(room: ScratchServer, template: str, *, needed: bool = False) -> Iterator[str]:
    """Copy a database that nobody uses, on its own server, and drop the copy afterwards; yield its URL.

    Args:
        room: where, and whose it will be.
        template: the URL of the database.
        needed: whether it is refused where it cannot be copied; else nothing is yielded then, an empty text.

    Raises:
        Refused: it is needed, and cannot be copied.
    """
    server, where = room.choose()
    name = sql.Identifier(str(conninfo_to_dict(template)["dbname"]))
    with connect_plainly(template) as connection:
        row = connection.execute("SELECT pg_catalog.pg_database_size(pg_catalog.current_database())").fetchone()
    # a small one is sooner written to the log than two checkpoints are made
    how = " STRATEGY FILE_COPY" if row and row[0] > _SMALL else ""
    owner = sql.SQL(" OWNER {}").format(sql.Identifier(room.owner)) if room.owner else sql.SQL("")
    with ExitStack() as made:
        try:
            url = made.enter_context(_made(server, where, name + sql.SQL(how) + owner, clone=bool(how)))
        except Refused:
            if needed:
                raise
            url = ""
        if url:
            let_in(room, url)
        yield url


@contextmanager
def copied(server: str, template: str = "", owner: str = "") -> Iterator[str]:
    """Make a database, empty or like another one that nobody uses, and drop it afterwards; yield its URL.

    Args:
        server: the URL of the server.
        template: the URL of the database to copy, if it is not to be empty.
        owner: the role whose database it is; without one, the role of the URL.

    Raises:
        Refused: none can be made there.
    """
    like = str(conninfo_to_dict(template)["dbname"]) if template else "template0"
    whose = sql.SQL(" OWNER {}").format(sql.Identifier(owner)) if owner else sql.SQL("")
    with _made(server, EMBEDDED, sql.Identifier(like) + sql.SQL(" STRATEGY FILE_COPY") + whose) as url:
        yield url


@contextmanager
def _made(server: str, where: str, template: sql.Composable, roles: Sequence[str] = (), *, clone: bool = False) -> Iterator[str]:
    """Make a database that other processes know to be of this one, and drop it afterwards; yield its URL."""
    name = f"{_NAME}{os.getpid()}_{secrets.token_hex(3)}"
    try:
        connection = connect_plainly(server)
    except psycopg.OperationalError as error:
        raise Refused(f"{where} cannot be reached: {str(error).strip()}") from None
    with connection:
        try:
            _make_roles(connection, roles)
            _sweep(connection)
            _create(connection, sql.SQL("CREATE DATABASE {} TEMPLATE ").format(sql.Identifier(name)) + template, clone=clone)
            ours = sql.Literal(mark(os.getpid()))
            connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), ours))
        except psycopg.Error as error:
            with suppress(psycopg.Error):
                # it may be there, and without a mark nobody sweeps it away
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
            raise Refused(f"no scratch database can be made on {where}: {str(error).strip()}") from None
        try:
            yield make_conninfo(server, dbname=name)
        finally:
            # a restore that was rehearsed in it leaves a failed one beside it
            made = connection.execute("SELECT datname FROM pg_catalog.pg_database WHERE starts_with(datname, %s)", [name[:40]])
            for (each,) in made.fetchall():
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(each)))


def _create(connection: psycopg.Connection[Any], statement: sql.Composed, *, clone: bool) -> None:
    """Make a database; by clones of its template's files where the server and its file system can."""
    if clone and connection.info.server_version >= _CLONES_SINCE:
        connection.execute("SET file_copy_method = clone")
        try:
            connection.execute(statement)
        except (psycopg.errors.ObjectInUse, psycopg.errors.InsufficientPrivilege):
            raise
        except psycopg.Error:
            # this file system has none
            connection.execute("SET file_copy_method = copy")
        else:
            return
    connection.execute(statement)


def mark(process: int) -> str:
    """Return what is noted of something that a process makes for itself: whose it is."""
    return f"{_MARK}{process} on {platform.node()}"


def left_by_the_dead(comment: str) -> bool:
    """Say whether something was made by a process of this machine that does not live any more."""
    process = comment.removeprefix(_MARK).split(" ", 1)[0]
    return process.isdigit() and comment == mark(int(process)) and not _lives(int(process))


def _sweep(connection: psycopg.Connection[Any]) -> None:
    """Drop the scratch databases of this machine's processes that were killed before they could."""
    rows = connection.execute(
        "SELECT datname, shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database WHERE starts_with(datname, %s)",
        [_NAME],
    ).fetchall()
    for name, comment in rows:
        if left_by_the_dead(str(comment or "")):
            # another role's is for that role to sweep
            with suppress(psycopg.Error):
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _make_roles(connection: psycopg.Connection[Any], roles: Sequence[str]) -> None:
    known = {str(row[0]) for row in connection.execute("SELECT rolname FROM pg_catalog.pg_roles").fetchall()}
    for role in roles:
        if role not in known:
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
