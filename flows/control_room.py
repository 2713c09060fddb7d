"""`gonogo up`: all of it on one machine. Prefect's server on the embedded PostgreSQL, behind a password, and the runbooks.

What dies is started again; what is ended, ends: first the runs' host, then the server, then its database.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gonogo import clock, private_files, signals
from gonogo.errors import BadInput, Refused, Unreachable
from gonogo.planning.load import each_runbook
from gonogo.postgres import embedded
from gonogo.postgres.tools import end_with_parent
from gonogo.project import Project

Say = Callable[[str], None]
#: seconds for a server to start, for a child to end, and between two looks at the children
_START, _END, _LOOK = 300.0, 45.0, 1.0
#: a child that dies this often within a minute is not started again
_DEATHS = 5


@dataclass(kw_only=True)
class _Child:
    """A process that is kept running."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    #: what it inherits
    socket: socket.socket | None = None
    process: subprocess.Popen[bytes] | None = None
    deaths: list[float] = field(default_factory=list)

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab", opener=private_files.opener) as log:
            # a group of its own: Ctrl-C reaches this process alone, which then ends the children in order
            self.process = subprocess.Popen(
                self.command,
                env=dict(self.environment),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                pass_fds=[self.socket.fileno()] if self.socket else [],
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - no other thread of this process holds anything then
            )

    def end(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def up(project: Project, say: Say, *, port: int, page_port: int) -> None:
    """Bring up the control room of a project, and keep it up until this process is asked to end.

    Args:
        project: whose runbooks are served, and in whose `.gonogo` everything lies.
        say: where the address and the password are told, once.
        port: the server's port on this machine.
        page_port: the port of the runs' live pages.

    Raises:
        Refused: a port is taken, or a child dies again and again.
        Unreachable: the database or the server does not start.
    """
    _require_alone(project)
    with listening(port) as listener, listening(page_port, "--page-port") as pages:
        _up(project, say, listener, pages)


def _up(project: Project, say: Say, listener: socket.socket, pages: socket.socket) -> None:
    port, page_port = listener.getsockname()[1], pages.getsockname()[1]
    home = project.state / "prefect"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = home / "postgres"
    embedded.start(database, database="prefect")
    password = secrets.token_urlsafe(12)
    environment = _environment(project, home, database, port, password)
    server, serving, page = _children(home, environment, listener, pages)
    room = project.state / "control-room.json"
    with _asked_to_end() as over:
        try:
            _name_broken(project, say)
            say("starting Prefect's server on its own PostgreSQL ...")
            server.start()
            page.start()
            _await_health(server, port, over)
            _leave_word(room, environment)
            say(f"the control room: http://127.0.0.1:{port}/deployments")
            say(f"the runs, live: http://127.0.0.1:{page_port}/")
            say(f"password: gonogo:{password}   (shown only now)")
            say(f"logs: {server.log}, {serving.log}, {page.log}; end it with Ctrl-C")
            serving.start()
            _keep_up([server, serving, page], over, say)
        finally:
            say("ending ...")
            room.unlink(missing_ok=True)
            page.end()
            serving.end()
            server.end()
            embedded.stop(database)


def _name_broken(project: Project, say: Say) -> None:
    """Say which runbooks cannot be launched, before anybody looks for them."""
    for _, read in each_runbook(project.runbook_files):
        if isinstance(read, BadInput):
            say(f"{read.problems[0]}" + (f" (and {len(read.problems) - 1} more)" if len(read.problems) > 1 else ""))


def _children(
    home: Path, environment: Mapping[str, str], listener: socket.socket, pages: socket.socket
) -> tuple[_Child, _Child, _Child]:
    """Return Prefect's server, the runbooks' host, and what serves the runs' pages; none of them is started yet."""
    server = _Child(
        name="the Prefect server",
        command=[sys.executable, "-P", "-m", "flows.prefect_server", str(listener.fileno())],
        environment=environment,
        socket=listener,
        log=home / "server.log",
    )
    serving = _Child(
        name="the runbooks' host",
        command=[sys.executable, "-m", "gonogo", "serve"],
        environment=environment,
        log=home / "serve.log",
    )
    page = _Child(
        name="the runs' pages",
        command=[sys.executable, "-P", "-m", "gonogo.page.server", str(pages.fileno())],
        environment={**environment, "GONOGO_PAGE_LOGIN": environment["PREFECT_API_AUTH_STRING"]},
        socket=pages,
        log=home / "page.log",
    )
    return server, serving, page


@contextmanager
def _asked_to_end() -> Iterator[threading.Event]:
    """Yield what is set once this process is asked to end."""
    over = threading.Event()
    with signals.heard(over.set):
        yield over


def _environment(project: Project, home: Path, database: Path, port: int, password: str) -> dict[str, str]:
    """Return the settings of the server and of what talks to it: loopback, a password, CSRF, one origin, no telemetry."""
    address = f"http://127.0.0.1:{port}"
    login = f"gonogo:{password}"
    return {
        **os.environ,
        "GONOGO_PROJECT": str(project.root),
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"{address}/api",
        "PREFECT_API_AUTH_STRING": login,
        "PREFECT_SERVER_API_AUTH_STRING": login,
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": address,
        "PREFECT_API_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://postgres@/prefect?host={database}",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def listening(port: int, option: str = "--port") -> Iterator[socket.socket]:
    """Yield the loopback socket of a server: from now on nobody else can answer there, also while it is started again.

    Raises:
        Refused: somebody answers there already.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(128)
        except OSError:
            raise Refused(f"port {port} is taken; end what uses it, or choose another one with {option}") from None
        yield listener


def _require_alone(project: Project) -> None:
    """Refuse a second control room for a project: both would use one database, and one word of where it is."""
    try:
        kept = json.loads((project.state / "control-room.json").read_text(encoding="utf-8"))
        os.kill(int(kept["pid"]), 0)
    except (OSError, ValueError, KeyError):
        return
    raise Refused(
        f"this project's control room is up already: {kept['PREFECT_API_URL'].removesuffix('/api')}, process {kept['pid']}"
    )


def _await_health(server: _Child, port: int, over: threading.Event) -> None:
    deadline = clock.monotonic() + _START
    while not over.is_set():
        if server.process is not None and server.process.poll() is not None:
            raise Unreachable(f"the Prefect server ended at its start; see {server.log}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            if clock.monotonic() > deadline:
                raise Unreachable(f"the Prefect server does not answer; see {server.log}") from None
            over.wait(0.5)


def _leave_word(room: Path, environment: Mapping[str, str]) -> None:
    """Tell other commands of this account where the control room is, so that their runs show there too."""
    kept = {name: environment[name] for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")}
    room.unlink(missing_ok=True)
    private_files.write(room, json.dumps({**kept, "pid": os.getpid()}))


def _keep_up(children: list[_Child], over: threading.Event, say: Say) -> None:
    while not over.wait(_LOOK):
        for child in children:
            if child.process is None or child.process.poll() is None:
                continue
            now = clock.monotonic()
            child.deaths = [*(moment for moment in child.deaths if now - moment < 60), now]
            if len(child.deaths) >= _DEATHS:
                raise Refused(f"{child.name} ends again and again; see {child.log}")
            say(f"{child.name} ended ({child.process.returncode}); starting it again")
            child.start()


def find_control_room(project: Project) -> None:
    """Let this process's runs show in the project's control room, where one is up and no other API is set."""
    if os.environ.get("PREFECT_API_URL"):
        return
    try:
        kept = json.loads((project.state / "control-room.json").read_text(encoding="utf-8"))
        os.kill(int(kept.pop("pid")), 0)
    except (OSError, ValueError, KeyError):
        return
    os.environ.update(kept)
