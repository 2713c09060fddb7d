"""Real servers for the tests: the embedded PostgreSQL 18, and Debian's 15 where it is installed."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings
from support.servers import DEBIAN_15, OLD, Server, dropping, load_guardian, open_folder, running_15

from gonogo.postgres import embedded
from gonogo.project import prepend_import_root

prepend_import_root()
# how long an example takes says how busy the machine is, and nothing of the rule that is tested
settings.register_profile("gonogo", deadline=None)
settings.load_profile("gonogo")
#: single tests that take a minute or more
_BEGIN_WITH = frozenset(
    {
        "test_a_run_killed_after_any_fact_ends_as_an_uninterrupted_one_and_does_nothing_twice",
        "test_a_plans_checks_notice_what_could_be_wrong",
        "test_each_criterion_stops_its_phase_and_nothing_is_changed",
        "test_nothing_that_is_planted_in_the_target_runs_as_gonogo",
        "test_whatever_happens_nothing_is_done_twice_or_left_behind_and_the_run_comes_to_rest",
    }
)
#: bytes that the files of a whole run may come to
_MEMORY = 12 * 1024**3
# a shell lets nothing of what it starts in the background hear Ctrl-C, and nohup nothing that a terminal was closed: the
# commands of the tests would inherit that
for _number, _usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)
os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
os.environ.pop("SLACK_BOT_TOKEN", None)
os.environ.pop("PREFECT_API_URL", None)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keep temporary folders in one that is this session's alone.

    pytest's own, of a user, is closed to other users as every session begins: a server of a test, which runs as such a user where
    root runs the tests, would lose its files in the middle of the session beside.
    """
    _keep_in_memory()
    config.pluginmanager.register(_Dropping())
    if config.option.basetemp is None:
        folder = tempfile.mkdtemp(prefix="gonogo-tests-")
        config.option.basetemp = folder
        os.environ.setdefault("XDG_CACHE_HOME", folder)
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def _keep_in_memory() -> None:
    """Put temporary files into memory where there is enough of it: servers make and drop thousands of files for each test.

    Some systems mount it so that nothing in it runs, and some tests write programs.
    """
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    if "TMPDIR" not in os.environ and memory.is_dir():
        there = os.statvfs(memory)
        # a file system in memory may be given more than there is
        told = next(
            line for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines() if line.startswith("MemAvailable")
        )
        free = min(there.f_bavail * there.f_frsize, int(told.split()[1]) * 1024)
        if free > _MEMORY and not there.f_flag & os.ST_NOEXEC and os.access(memory, os.W_OK):
            os.environ["TMPDIR"] = tempfile.tempdir = str(memory)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the long tests to those who ask for them; begin with what takes a worker minutes: all would wait for it at last."""

    def rank(item: pytest.Item) -> tuple[bool, bool]:
        return item.get_closest_marker("xdist_group") is None, getattr(item, "originalname", "") not in _BEGIN_WITH

    items.sort(key=rank)
    if os.environ.get("GONOGO_LONG"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="long: set GONOGO_LONG=1 to run it"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Say so where what shares a server or a browser would be run by several workers: each would start its own."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        torn = [item for item in session.items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid]
        assert not torn, f"this pytest-xdist keeps no group of tests together under this pytest: {torn[0].nodeid}"


class _Dropping:
    """Drops what a test or a fixture made once that is through. A plugin: a conftest hears of no fixtures of a session."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        """Drop the databases that a test made itself."""
        with ExitStack() as through, dropping(through.callback):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
        """Drop the databases that a fixture made when it is torn down."""
        with dropping(fixturedef.addfinalizer):
            return (yield)


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
    if not DEBIAN_15.is_dir():
        pytest.skip("PostgreSQL 15 is not installed (Debian: apt-get install postgresql-15)")
    with open_folder() as folder, running_15(folder) as running:
        yield running


@pytest.fixture(params=["18", "15"])
def any_server(request: pytest.FixtureRequest) -> Server:
    """Both versions, one after the other."""
    found: Server = request.getfixturevalue("server" if request.param == "18" else "server_15")
    return found


@pytest.fixture(params=["18", pytest.param("15", marks=pytest.mark.long)])
def other_when_long(request: pytest.FixtureRequest) -> Server:
    """18, and 15 where the long tests run: for long stories that ask of the server nothing that versions do differently."""
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
