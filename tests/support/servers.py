"""Real servers for the tests, the databases that tests make in them, and folders that they can reach."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from gonogo.planning.templates import Templates
from gonogo.postgres.connection import Connection, Database
from gonogo.project import ROOT

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
OLD = "CREATE TABLE old (id int PRIMARY KEY, note text); INSERT INTO old SELECT g, 'n' || g FROM generate_series(1, 1000) g"
_numbers = itertools.count(1)
#: what was made, by who asked for it: the innermost fixture or test is the last
_made: list[list[tuple[Server, str]]] = []


class Server:
    """A running PostgreSQL, and the databases that tests make in it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def database(self, template: str = "") -> str:
        """Make a database and return its URL."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            like = f" TEMPLATE {template} STRATEGY FILE_COPY" if template else ""
            connection.execute(f"CREATE DATABASE {name}{like}".encode())
        if _made:
            _made[-1].append((self, name))
        return self.url_of(name)

    def forget(self, url: str, roles: str) -> None:
        """Drop a database, what a restore kept of it, and the roles that a test made for it: the next test would see them.

        Args:
            url: the database.
            roles: a pattern for LIKE.
        """
        self.drop(url.split("/")[3].split("?", maxsplit=1)[0])
        with psycopg.connect(self.url, autocommit=True) as connection:
            for (role,) in connection.execute(
                "SELECT quote_ident(rolname) FROM pg_roles WHERE rolname LIKE %s", [roles]
            ).fetchall():
                connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())

    def drop(self, name: str) -> None:
        """Drop a database and what gonogo named after it; what prepared transactions hold stays."""
        like = "SELECT quote_ident(datname) FROM pg_database WHERE datname = %(name)s OR starts_with(datname, %(name)s || '_')"
        with psycopg.connect(self.url, autocommit=True) as connection:
            for (each,) in connection.execute(like, {"name": name}).fetchall():
                with suppress(psycopg.errors.ObjectInUse):
                    connection.execute(f"DROP DATABASE IF EXISTS {each} WITH (FORCE)".encode())

    def url_of(self, name: str) -> str:
        """Return the URL of one of its databases."""
        return self.url.replace("/postgres?", f"/{name}?")


@contextmanager
def dropping(at_last: Callable[[Callable[[], None]], object]) -> Iterator[None]:
    """Have what is made in here dropped when who made it is through.

    A whole run makes some thousand databases: kept, they filled the memory, and each server looked after all of them.

    Args:
        at_last: takes what drops them, and calls it then.
    """
    made: list[tuple[Server, str]] = []

    def drop() -> None:
        for server, name in made:
            # a server of a test's own is gone already
            with suppress(psycopg.OperationalError):
                server.drop(name)
        made.clear()

    at_last(drop)
    _made.append(made)
    try:
        yield
    finally:
        _made.pop()


@contextmanager
def open_folder() -> Iterator[Path]:
    """Make a folder that a server's own user can reach.

    pytest closes its temporary folders to others at the start of every session, also of one beside this one:
    a server that root starts as another user would lose its files in the middle of a test.
    """
    folder = Path(tempfile.mkdtemp(prefix="gonogo-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_15(folder: Path, language: str = "", *, port: int = 0) -> Iterator[Server]:
    """Run Debian's PostgreSQL 15 in a folder.

    Args:
        folder: where.
        language: of its messages, such as `de`; English without one.
        port: where it listens on loopback as well, by TLS, with the certificate of the folder; nowhere without one.
    """
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)

    # gettext follows LANGUAGE in every locale but C
    spoken = {**os.environ, **({"LANGUAGE": language, "LC_ALL": "C.UTF-8"} if language else {})}

    def run(*command: str) -> None:
        subprocess.run(
            [DEBIAN_15 / command[0], *command[1:]],
            check=True,
            user=user,
            cwd="/",
            stdout=subprocess.DEVNULL,
            timeout=180,
            env=spoken,
        )

    data = str(folder / "data")
    run("initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8")
    settings = f"-k {folder} -c max_prepared_transactions=5 -c shared_preload_libraries=pg_stat_statements"
    if port:
        key = folder / "server.key"
        key.chmod(0o600)
        if user:
            shutil.chown(key, user)
        settings += f" -p {port} -h 127.0.0.1 -c ssl=on -c ssl_cert_file={folder}/server.crt -c ssl_key_file={key}"
    else:
        settings += " -h ''"
    run("pg_ctl", "-D", data, "-w", "-l", f"{folder}/log", "-o", settings, "start")
    try:
        yield Server(f"postgresql://postgres@/postgres?host={folder}{f'&port={port}' if port else ''}")
    finally:
        run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")


def load_guardian(server: Server, organizations: int) -> str:
    """Make a database with the Guardian plan's schema and data; return its name."""
    url = server.database()
    templates = Templates([ROOT / "sql_templates"])
    with psycopg.connect(url, autocommit=True) as connection:
        for name in ("before.sql", "data.sql.j2"):
            sql = templates.render(f"guardian-multi-credit/demo/{name}", {"organizations": organizations})
            connection.execute(sql.encode())
        connection.execute("VACUUM ANALYZE")
    return url.split("/")[3].split("?")[0]


def visit(database: Database) -> Connection:
    """Connect as gonogo does, and find what the role finds."""
    connection = database.connect("test")
    connection.execute("SET search_path TO DEFAULT")
    return connection
