"""Real servers for the tests: the embedded PostgreSQL 18, and Debian's 15 where it is installed."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from gonogo.postgres import embedded
from gonogo.project import ROOT, prepend_import_root

prepend_import_root()
os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
os.environ.pop("SLACK_BOT_TOKEN", None)
os.environ.pop("PREFECT_API_URL", None)
_DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
OLD = "CREATE TABLE old (id int PRIMARY KEY, note text); INSERT INTO old SELECT g, 'n' || g FROM generate_series(1, 1000) g"
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the long tests to those who ask for them."""
    if os.environ.get("GONOGO_LONG"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="long: set GONOGO_LONG=1 to run it"))


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
        return self.url_of(name)

    def url_of(self, name: str) -> str:
        """Return the URL of one of its databases."""
        return self.url.replace("/postgres?", f"/{name}?")


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


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A folder for a test whose project starts a server."""
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The embedded PostgreSQL 18."""
    with open_folder() as folder, embedded.running(folder / "18") as url:
        yield Server(url)


@pytest.fixture(scope="session")
def server_15() -> Iterator[Server]:
    """Debian's PostgreSQL 15."""
    if not _DEBIAN_15.is_dir():
        pytest.skip("PostgreSQL 15 is not installed (Debian: apt-get install postgresql-15)")
    with open_folder() as folder:
        yield from _run_15(folder)


def _run_15(folder: Path) -> Iterator[Server]:
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)

    def run(*command: str) -> None:
        subprocess.run(
            [_DEBIAN_15 / command[0], *command[1:]], check=True, user=user, cwd="/", stdout=subprocess.DEVNULL, timeout=60
        )

    data = str(folder / "data")
    run("initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8")
    run(
        "pg_ctl",
        "-D",
        data,
        "-w",
        "-l",
        f"{folder}/log",
        "-o",
        f"-h '' -k {folder} -c max_prepared_transactions=5 -c shared_preload_libraries=pg_stat_statements",
        "start",
    )
    try:
        yield Server(f"postgresql://postgres@/postgres?host={folder}")
    finally:
        run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")


@pytest.fixture(params=["18", "15"])
def any_server(request: pytest.FixtureRequest) -> Server:
    """Both versions, one after the other."""
    found: Server = request.getfixturevalue("server" if request.param == "18" else "server_15")
    return found


@pytest.fixture
def url(server: Server) -> str:
    """An empty database."""
    return server.database()


@pytest.fixture
def old_url(server: Server) -> str:
    """A database with one table of a thousand rows."""
    url = server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(OLD)
    return url


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., Path]:
    """Write a project: a runbook, and its templates by name; return its folder."""

    def make(runbook: str, **templates: str) -> Path:
        (tmp_path / "runbooks").mkdir(exist_ok=True)
        (tmp_path / "runbooks" / "book.yaml").write_text(runbook, encoding="utf-8")
        for name, text in templates.items():
            file = tmp_path / "sql_templates" / "book" / name.replace("__", ".")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        return tmp_path

    return make


@pytest.fixture(scope="session")
def guardian(server: Server) -> str:
    """The name of a database with the Guardian plan's schema and some thousand organizations, to copy from."""
    return load_guardian(server, 3000)


def load_guardian(server: Server, organizations: int) -> str:
    """Make a database with the Guardian plan's schema and data; return its name."""
    from gonogo.planning.templates import Templates

    url = server.database()
    templates = Templates([ROOT / "sql_templates"])
    with psycopg.connect(url, autocommit=True) as connection:
        for name in ("before.sql", "data.sql.j2"):
            sql = templates.render(f"guardian-multi-credit/demo/{name}", {"organizations": organizations})
            connection.execute(sql.encode())
        connection.execute("VACUUM ANALYZE")
    return url.split("/")[3].split("?")[0]
