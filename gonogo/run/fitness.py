"""Whether a target is ready for a runbook: how it is reached, what the role may, which programs fit, where copies are made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import psycopg

from gonogo.errors import Refused, StepError
from gonogo.postgres import programs, rights
from gonogo.postgres.connection import Connection, Database, identify
from gonogo.postgres.pooled import is_pooled
from gonogo.postgres.rights import PURPOSES, Lack, Level
from gonogo.postgres.scratch import ScratchServer, require_extensions

#: those of PostgreSQL's programs that work on a target
_PROGRAMS = ("pg_dump", "pg_restore", "psql", "pgbench")


class Finding(StrEnum):
    """How one thing stands."""

    READY = "ready"
    MISSING = "missing"
    #: missing, and nothing of the runbook needs it
    NOT_NEEDED = "not needed"


@dataclass(frozen=True, kw_only=True)
class Fact:
    """What was found of one thing."""

    what: str
    finding: Finding
    said: str
    #: the SQL that gives what is missing
    grants: tuple[str, ...] = ()


def examine(database: Database, room: ScratchServer, needed: Level) -> Iterator[Fact]:
    """Yield how a target stands; it is asked, and nothing in it is changed.

    Args:
        database: the target.
        room: where copies of it would be made.
        needed: the highest level that the runbook needs.

    Raises:
        Unreachable: the target does not answer, or refuses the login.
    """
    with database.connect("gonogo/doctor") as connection:
        yield _server(connection)
        for level in Level:
            yield _level(rights.lacking_of(connection, level), level, needed)
    copies = Level.BACKUP in rights.up_to(needed)
    for name in _PROGRAMS:
        yield _program(name, database, needed=copies and name != "pgbench")
    yield _copies(room, needed=copies)


def _server(connection: Connection) -> Fact:
    info = connection.info
    how = (
        "by TLS"
        if connection.pgconn.ssl_in_use
        else "without TLS"
        if info.host and not info.host.startswith("/")
        else "by a socket"
    )
    version = info.parameter_status("server_version")
    said = f"PostgreSQL {version}, {how}{', through a pooler' if is_pooled(connection) else ''}, as {_role(connection)}"
    try:
        identify(connection)
    except Refused as error:
        return Fact(what="server", finding=Finding.MISSING, said=f"{said}: {error}")
    return Fact(what="server", finding=Finding.READY, said=said)


def _role(connection: Connection) -> str:
    row = connection.execute(
        "SELECT current_user::text, session_user::text, rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"
    ).fetchone()
    name, login, superuser = row or ("?", "?", False)
    return f"{name}{f' (login {login})' if login != name else ''}{', a superuser' if superuser else ''}"


def _level(lacks: list[Lack], level: Level, needed: Level) -> Fact:
    what = f"{level}: {PURPOSES[level]}"
    if not lacks:
        return Fact(what=what, finding=Finding.READY, said="the role may")
    wanted = level in rights.up_to(needed)
    return Fact(
        what=what,
        finding=Finding.MISSING if wanted else Finding.NOT_NEEDED,
        said="; ".join(lack.what for lack in lacks),
        grants=tuple(lack.grant for lack in lacks),
    )


def _program(name: str, database: Database, *, needed: bool) -> Fact:
    try:
        found = programs.fitting(name, database.url)
    except StepError as error:
        return Fact(what=name, finding=Finding.MISSING if needed else Finding.NOT_NEEDED, said=str(error))
    return Fact(what=name, finding=Finding.READY, said=f"{found}{f': {found.instead}' if found.instead else ''}")


def _copies(room: ScratchServer, *, needed: bool) -> Fact:
    try:
        require_extensions(room)
        _, called = room.choose()
    except (Refused, psycopg.Error) as error:
        return Fact(what="copies", finding=Finding.MISSING if needed else Finding.NOT_NEEDED, said=str(error).strip())
    return Fact(what="copies", finding=Finding.READY, said=f"on {called}")


__all__ = ["Fact", "Finding", "examine"]
