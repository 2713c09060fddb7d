"""Sessions, and what a pooler makes of them: one that gives each its backend will do, one that shares backends will not.

A pooler in session mode hands no settings on (PgBouncer's manual, "ignore_startup_parameters"), so they are set afterwards, and
again wherever the server would give a session the settings back that it began with. It also tells a number of its own in place of
the backend's.
"""

from __future__ import annotations

import re
import select
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from gonogo.errors import Refused

Connection: TypeAlias = psycopg.Connection[TupleRow]

#: where gonogo's own statements find tables, functions and operators: where only a superuser makes any
OWN_PATH = "pg_catalog, pg_temp"
#: an option of an address, as the server reads it (PostgreSQL's manual, "postgres", -c and --name=value)
_OPTION = re.compile(r"(?:-c\s*|--)([\w.-]+)=((?:\\.|[^\s\\])*)")
#: a schema in a search path, as it is or in quotes
_SCHEMA = re.compile(r'"((?:[^"]|"")*)"|([^\s,"]+)')
#: how often it is seen that nobody else has a session's backend, and the seconds that another session may take to answer
_LOOKS, _ANSWERS = 3, 10.0
_BACKEND = b"SELECT pg_catalog.pg_backend_pid()"


@dataclass(frozen=True)
class _Pooled:
    """A session whose settings the server does not know, and the backend that has it."""

    settings: Mapping[str, str]
    backend: int


#: the sessions behind poolers
_POOLED: WeakKeyDictionary[Connection, _Pooled] = WeakKeyDictionary()


def connect_plainly(url: str, **more: Any) -> Connection:
    """Open a connection without limits, for statements of gonogo's own.

    Raises:
        Refused: a pooler shares its connections: what is set here would be set for somebody else.
        psycopg.Error: the server does not answer, or refuses the login.
    """
    connection = _own_session(psycopg.connect(url, autocommit=True, **more))[0]
    connection.execute(f"SET search_path = {OWN_PATH}".encode())
    return connection


def _own_session(connection: Connection) -> tuple[Connection, int]:
    """Return a connection and its backend, once it is seen to be a session of its own; nothing is set in it before.

    Raises:
        Refused: it is not.
    """
    backend = _backend(connection)
    if backend != connection.info.backend_pid:
        # somebody stands between: a pooler has numbers of its own
        connection.prepare_threshold = None
        if why := _why_no_session(connection, backend):
            connection.close()
            raise Refused(
                f"a pooler in transaction mode is in front of the target ({why}), and nothing that lasts longer than a"
                " transaction holds there. Use its session mode, or say how PostgreSQL itself is reached: `direct: $NAME`"
                " beside `database:`"
            )
    return connection, backend


def connected(parameters: Mapping[str, Any], settings: Mapping[str, str], *, asked: str) -> Connection:
    """Open a connection with settings of its own, whoever stands between.

    Args:
        parameters: what libpq connects with; its options hold the settings.
        settings: these settings.
        asked: what of the options is the address's own.

    Raises:
        Refused: a pooler hands no settings on, and the address's own cannot be read; or it shares its connections.
        psycopg.OperationalError: the server does not answer, or refuses the login.
    """
    connection, backend, took = _first(parameters)
    if took and backend == connection.info.backend_pid:
        connection.execute(f"SET search_path = {OWN_PATH}".encode())
        return connection
    # what a pooler hands on of them, and what it drops, is its own business: all are set
    if _OPTION.sub("", asked).strip():
        connection.close()
        raise Refused(
            "a pooler is in front of the target and hands no settings on, so that the options of its address would be lost. Write"
            " them as -c name=value, or say how PostgreSQL itself is reached: `direct: $NAME` beside `database:`"
        )
    own = {name.replace("-", "_").lower(): re.sub(r"\\(.)", r"\1", value) for name, value in _OPTION.findall(asked)}
    for name, value in (own | dict(settings)).items():
        connection.execute("SELECT pg_catalog.set_config(%s, %s, false)", [name, value])
    connection.execute(f"SET search_path = {OWN_PATH}".encode())
    _POOLED[connection] = _Pooled(own | dict(settings), backend)
    return connection


def _first(parameters: Mapping[str, Any]) -> tuple[Connection, int, bool]:
    """Connect with the settings, or without them where they are what is refused: why a login failed has no SQLSTATE.

    Returns:
        The connection, its backend, and whether the settings went along.
    """
    url = make_conninfo(**parameters)
    try:
        return *_own_session(psycopg.connect(url, autocommit=True)), True
    except psycopg.errors.ConnectionTimeout:
        raise
    except psycopg.OperationalError as error:
        refused = error
    try:
        without = _own_session(psycopg.connect(make_conninfo(**{**parameters, "options": ""}), autocommit=True))
    except psycopg.OperationalError:
        raise refused from None
    # what was only not ready yet takes them now
    try:
        with_them = _own_session(psycopg.connect(url, autocommit=True))
    except psycopg.OperationalError:
        return *without, False
    without[0].close()
    return *with_them, True


def is_pooled(connection: Connection) -> bool:
    """Say whether a pooler is known to be between."""
    return connection in _POOLED


def backend_of(connection: Connection) -> int:
    """Return the number of the backend that works for a connection."""
    pooled = _POOLED.get(connection)
    return pooled.backend if pooled else connection.info.backend_pid


def reset_all(connection: Connection) -> str:
    """Return SQL that gives a session the settings back that gonogo gave it."""
    pooled = _POOLED.get(connection)
    given = pooled.settings if pooled else {}
    return "RESET ALL" + "".join(f";SET {name} TO {default_of(connection, name)}" for name in given)


def reset_role(connection: Connection) -> str:
    """Return SQL that makes a session act as the role again that gonogo chose, whatever a script made of it."""
    pooled = _POOLED.get(connection)
    again = f"SET role TO {default_of(connection, 'role')};" if pooled and "role" in pooled.settings else ""
    return f"RESET SESSION AUTHORIZATION;RESET ROLE;{again}"


def find_theirs(connection: Connection) -> str:
    """Return SQL that lets the open transaction find what the role finds in that database."""
    return to_default(connection, "search_path")


def default_of(connection: Connection, name: str) -> str:
    """Return, as SQL, what gonogo gave the session of a setting."""
    pooled = _POOLED.get(connection)
    if pooled is None or name not in pooled.settings:
        return "DEFAULT"
    value = pooled.settings[name]
    if name == "search_path":
        # a list: in one literal it would be one name
        names = [quoted.replace('""', '"') if quoted else bare.lower() for quoted, bare in _SCHEMA.findall(value)]
        return ", ".join(_literal(each) for each in names) or "''"
    return _literal(value)


def to_default(connection: Connection, *names: str) -> str:
    """Return SQL by which settings are, in the open transaction, what gonogo gave the session."""
    return "".join(f"SET LOCAL {name} TO {default_of(connection, name)};" for name in names)


def _literal(value: str) -> str:
    return sql.Literal(value).as_string()


def _why_no_session(connection: Connection, backend: int) -> str:
    """Say why a connection is no session of its own, or nothing where it is.

    Args:
        connection: the connection, with no transaction open.
        backend: the backend that answered it just now.
    """
    url = make_conninfo(**connection.info.get_parameters(), password=connection.info.password)
    try:
        for _ in range(_LOOKS):
            with psycopg.connect(url, autocommit=True, connect_timeout=round(_ANSWERS)) as other:
                # it keeps a backend as long as its transaction lasts
                theirs = _asked(other, b"BEGIN;" + _BACKEND)
                ours = _backend(connection)
            if theirs == backend or ours != backend:
                return f"two sessions had backend {backend}" if theirs == backend else "the backend changes between statements"
    except psycopg.Error as error:
        return f"a second session beside this one: {str(error).strip()}"
    return ""


def _backend(connection: Connection) -> int:
    row = connection.execute(_BACKEND).fetchone()
    return int(row[0]) if row else 0


def _asked(connection: Connection, query: bytes) -> int:
    """Ask a session that may never get a backend.

    Raises:
        psycopg.OperationalError: it does not get one in time.
    """
    pgconn = connection.pgconn
    pgconn.send_query(query)
    found = 0
    while True:
        while pgconn.is_busy():
            if not select.select([pgconn.socket], [], [], _ANSWERS)[0]:
                raise psycopg.OperationalError(f"it gets no backend in {_ANSWERS:g} s; gonogo needs several at once")
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            return found
        if result.error_message:
            raise psycopg.OperationalError(result.error_message.decode(errors="replace"))
        found = int(result.get_value(0, 0) or 0) if result.ntuples else found
