"""Connections to a target: which one, with what settings, and whether it may be worked on at all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gonogo.core.model.runbook import SqlSettings
from gonogo.core.plan.plan import LONG_WAIT, Identity
from gonogo.errors import ConnectionsDisabled, Refused, Unreachable
from gonogo.postgres import pooled
from gonogo.postgres.address import safe_url, secrets_of
from gonogo.postgres.pooled import OWN_PATH, Connection, connect_plainly
from gonogo.redaction import redacting

#: milliseconds after which a socket without an answer counts as dead
_TCP_USER_TIMEOUT = 15_000


__all__ = [
    "FIND_OURS",
    "OWN_PATH",
    "Connection",
    "Database",
    "as_the_role_sees",
    "connect_plainly",
    "find",
    "find_ours_first",
    "full_name",
    "identify",
    "in_transaction",
    "milliseconds",
    "name_of",
    "require_same",
    "transaction",
]

#: what lets a transaction find that, as SQL
FIND_OURS = f"SET LOCAL search_path = {OWN_PATH};"
#: a name with its schema means the same whatever the path is
_QUALIFIED = re.compile(r'(?:"(?:[^"]|"")+"|[^".]+)\.(?:"(?:[^"]|"")+"|[^".]+)')
#: what every session of gonogo's has, whatever the database or the role says
_SETTINGS: Mapping[str, str] = {
    "idle_in_transaction_session_timeout": "60s",
    "client_connection_check_interval": "500ms",
    # what cannot see all rows says so, and counts no part of them; scripts and checks `role:` have it on
    "row_security": "off",
    # what was answered as committed is on disk, whatever the database or the role says
    "synchronous_commit": "on",
    "timezone": "UTC",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
}


@dataclass(frozen=True, kw_only=True)
class Database:
    """How to reach a target; its address is a secret, so it never shows."""

    url: str
    role: str = ""
    #: the schemas in which names without one are found; without it, those that the role has in that database
    search_path: str = ""
    #: the address of the target that this is a copy of, where it is one
    copy_of: str = ""

    def __repr__(self) -> str:
        return f"Database({safe_url(self.url)})"

    def connect(self, name: str, settings: SqlSettings | None = None) -> Connection:
        """Open a connection whose statements cannot outlive this process for long.

        They find what is PostgreSQL's own; for what others wrote, there is `as_the_role_sees`.

        Args:
            name: what it is for, as application_name.
            settings: the limits for its statements.

        Raises:
            Unreachable: the server does not answer, or refuses the login.
        """
        limits = settings or SqlSettings()
        options = {
            "lock_timeout": f"{milliseconds(limits.lock_timeout or LONG_WAIT)}ms",
            "statement_timeout": f"{milliseconds(limits.statement_timeout)}ms",
            **_SETTINGS,
        }
        options |= {name: value for name in ("role", "search_path") if (value := getattr(self, name))}
        options["application_name"] = name[:63].encode("ascii", "replace").decode()
        given = conninfo_to_dict(self.url)
        ours = " ".join(f"-c {key}={_escape(value)}" for key, value in options.items())
        parameters: dict[str, Any] = {
            "connect_timeout": "10",
            "keepalives_idle": "10",
            "keepalives_interval": "5",
            "keepalives_count": "3",
            "tcp_user_timeout": str(_TCP_USER_TIMEOUT),
            **given,
            # it is in the options; what the address or the environment says of it would count more
            "application_name": "",
            "client_encoding": "UTF8",
            "options": " ".join(filter(None, (str(given.get("options") or ""), ours))),
        }
        try:
            return pooled.connected(parameters, options, asked=str(given.get("options") or ""))
        except psycopg.OperationalError as error:
            told = redacting(secrets_of(self.url).values())(str(error).strip())
            why = f"cannot reach {safe_url(self.url)}: {told}"
            slow = isinstance(error, psycopg.errors.ConnectionTimeout)
            raise (ConnectionsDisabled if not slow and self._takes_no_connections() else Unreachable)(why) from None

    def own_search_path(self) -> str:
        """Return the schemas in which names without one are found.

        Raises:
            Unreachable: the server does not answer, or refuses the login.
        """
        with self.connect("gonogo/path") as connection, as_the_role_sees(connection):
            row = connection.execute("SELECT pg_catalog.current_setting('search_path')").fetchone()
        return str(row[0]) if row else ""

    def _takes_no_connections(self) -> bool:
        """Ask, through another database of the server, whether this one takes no connections.

        A failed login has no SQLSTATE, and its message is in the server's language.
        """
        name = str(conninfo_to_dict(self.url).get("dbname") or "")
        other = make_conninfo(self.url, dbname="template1" if name == "postgres" else "postgres", connect_timeout=5)
        try:
            with connect_plainly(other) as connection:
                found = connection.execute(
                    "SELECT datallowconn FROM pg_catalog.pg_database WHERE datname = %s", [name]
                ).fetchone()
        except psycopg.Error:
            return False
        return found is not None and not found[0]


@contextmanager
def as_the_role_sees(connection: Connection) -> Iterator[None]:
    """Let statements find what the role finds in that database: those that others wrote, and names that they gave.

    A statement of gonogo's own must not: whoever may make an operator in a schema of that path would run as gonogo.
    """
    inside = in_transaction(connection)
    row = connection.execute("SELECT pg_catalog.current_setting('search_path')").fetchone()
    connection.execute(f"SET {'LOCAL ' if inside else ''}search_path TO {pooled.default_of(connection, 'search_path')}".encode())
    try:
        yield
    finally:
        # what failed in a transaction is rolled back, and the path with it
        if not connection.closed and connection.info.transaction_status != psycopg.pq.TransactionStatus.INERROR:
            connection.execute("SELECT pg_catalog.set_config('search_path', %s, %s)", [row[0] if row else OWN_PATH, inside])


def in_transaction(connection: Connection) -> bool:
    """Say whether a transaction is open, of whoever began it."""
    return connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE


def find_ours_first(connection: Connection) -> None:
    """Let the open transaction find what is PostgreSQL's own first, and then what the role finds: types, and their operators."""
    connection.execute(pooled.find_theirs(connection).encode())
    row = connection.execute("SELECT pg_catalog.current_setting('search_path')").fetchone()
    path = ", ".join(["pg_catalog", *(str(part) for part in row or () if part)])
    connection.execute("SELECT pg_catalog.set_config('search_path', %s, true)", [path])


def full_name(connection: Connection, name: str) -> str:
    """Return the name, with its schema, of the relation that the role means by a name; the name itself where there is none."""
    return find(connection, name) or name


def find(connection: Connection, name: str) -> str | None:
    """Return the name, with its schema, of the relation that the role means by a name; None where there is none."""
    with nullcontext() if _QUALIFIED.fullmatch(name) else as_the_role_sees(connection):
        row = connection.execute("SELECT pg_catalog.to_regclass(%s)::pg_catalog.oid", [name]).fetchone()
    return name_of(connection, row[0] if row else None)


def name_of(connection: Connection, number: int | None) -> str | None:
    """Return the name, with its schema, of the relation that has a number; None where there is none."""
    row = connection.execute(
        "SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname) FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s",
        [number],
    ).fetchone()
    return str(row[0]) if row else None


def _escape(value: str) -> str:
    return re.sub(r"([\\ ])", r"\\\1", value)


def milliseconds(duration: timedelta) -> int:
    """Return a timedelta in whole milliseconds, at least one: zero would mean no limit."""
    return max(1, round(duration.total_seconds() * 1000))


def identify(connection: Connection) -> Identity:
    """Return which database this is.

    Raises:
        Refused: a standby, a read-only database, or an old version.
    """
    row = connection.execute(
        "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only'),"
        " pg_catalog.current_database(),"
        " pg_catalog.current_setting('server_version_num')::int"
    ).fetchone()
    standby, read_only, database, version = row or (True, "on", "", 0)
    if standby:
        raise Refused("the target is a standby; a migration runs on the primary")
    if read_only == "on":
        raise Refused("the target is read-only (default_transaction_read_only is on); a migration must write")
    if version < 150000:
        raise Refused(f"the target is PostgreSQL {version // 10000}; gonogo works on 15 and later")
    try:
        found = connection.execute("SELECT system_identifier::text FROM pg_catalog.pg_control_system()").fetchone()
        identifier = str(found[0]) if found else ""
    except psycopg.errors.InsufficientPrivilege:
        identifier = ""
    return Identity(system_identifier=identifier, database=database, version=version)


def require_same(found: Identity, expected: Identity | None) -> None:
    """Refuse a database that is not the one the run began on.

    Raises:
        Refused: it is another cluster or another database.
    """
    if expected and (found.system_identifier, found.database) != (expected.system_identifier, expected.database):
        raise Refused(
            f"this is not the database that the run began on: it was {expected.database!r} of system"
            f" {expected.system_identifier}, this is {found.database!r} of system {found.system_identifier}"
        )


@contextmanager
def transaction(connection: Connection, *, read_only: bool = False, keep: bool = True) -> Iterator[None]:
    """Run statements in one transaction, which is rolled back unless it is to be kept; inside another one, in a part of it."""
    inside = in_transaction(connection)
    begin, commit, back = _PART if inside else ("BEGIN", "COMMIT", "ROLLBACK")
    only = ";SET TRANSACTION READ ONLY" if inside else " READ ONLY"
    connection.execute(f"{begin}{only if read_only else ''}".encode())
    try:
        yield
    except BaseException:
        if not connection.closed:
            connection.execute(back.encode())
        raise
    connection.execute((commit if keep else back).encode())


#: how a part of a transaction begins, is kept, and is taken back
_PART = (
    "SAVEPOINT gonogo_part",
    "RELEASE SAVEPOINT gonogo_part",
    "ROLLBACK TO SAVEPOINT gonogo_part;RELEASE SAVEPOINT gonogo_part",
)
