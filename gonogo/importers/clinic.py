"""The server on which migrations that others wrote are examined: it holds nothing else, and what they run as has no power."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from gonogo.postgres import embedded
from gonogo.postgres.connection import connect_plainly
from gonogo.postgres.scratch import copied

#: how long the path of a folder for a server may be, in characters
_SHORT = 50
#: the role that examines
_ROLE = "gonogo_examined"
_ROLES = "SELECT rolname::text FROM pg_catalog.pg_roles"


@dataclass(frozen=True, kw_only=True)
class Clinic:
    """The server on which migrations are examined."""

    #: its URL, by which databases are made
    server: str
    #: the role that examines, and owns those databases; empty where that is the server's superuser
    role: str = ""

    @contextmanager
    def copied(self, template: str = "") -> Iterator[str]:
        """Make a database, empty or like another one; yield the URL by which the role that examines reaches it."""
        with copied(self.server, template, self.role) as url:
            yield make_conninfo(url, user=self.role) if self.role else url

    def make_role(self, name: str) -> None:
        """Make a role without a login, which the one that examines may act as."""
        with connect_plainly(self.server) as connection:
            role = sql.Identifier(name)
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(role))
            if self.role:
                connection.execute(sql.SQL("GRANT {} TO {}").format(role, sql.Identifier(self.role)))

    @contextmanager
    def without_new_roles(self) -> Iterator[None]:
        """Drop the roles that are made meanwhile: they are the whole server's, and the next database would find them there."""
        with connect_plainly(self.server) as connection:
            before = {str(row[0]) for row in connection.execute(_ROLES).fetchall()}
        try:
            yield
        finally:
            with connect_plainly(self.server) as connection:
                for (name,) in connection.execute(_ROLES).fetchall():
                    if name not in before:
                        # what is left to it elsewhere keeps it
                        with suppress(psycopg.Error):
                            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(str(name))))


@contextmanager
def clinic_of(*, superuser: bool) -> Iterator[Clinic]:
    """Start a server that holds nothing, for one examination."""
    # a folder of temporary files may have a path that is too long for a socket
    short = "/tmp" if len(tempfile.gettempdir()) > _SHORT and Path("/tmp").is_dir() else None  # noqa: S108 - it makes one of its own
    with tempfile.TemporaryDirectory(prefix="gonogo-clinic-", dir=short) as folder:
        # the embedded server of root runs as another account
        Path(folder).chmod(0o711)
        with embedded.running(Path(folder) / "server") as server:
            if not superuser:
                with connect_plainly(server) as connection:
                    # what it makes is its own, roles too; a role that it makes can be no superuser
                    connection.execute(f"CREATE ROLE {_ROLE} LOGIN CREATEROLE".encode())
            yield Clinic(server=server, role="" if superuser else _ROLE)
