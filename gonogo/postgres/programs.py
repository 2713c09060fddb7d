"""Which of PostgreSQL's programs to use for a server: new enough for it, and with TLS where it is reached by TLS.

A pg_dump reads servers up to its own version (PostgreSQL's manual, "pg_dump", Notes), and the embedded programs are built without
TLS. So those of the machine are looked for as well: where the environment says, else where packages put them.
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import psycopg

from gonogo import clock
from gonogo.errors import StepError
from gonogo.postgres import embedded
from gonogo.postgres.address import safe_url
from gonogo.postgres.connection import connect_plainly

#: the environment variable that names the folder of the programs to use
VARIABLE = "GONOGO_PROGRAMS"
#: where packages of Debian, of Red Hat, of Homebrew and of PostgreSQL's own sources put them
_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/libpq/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/libpq/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/local/pgsql/bin",
)
_VERSION = re.compile(r"\(PostgreSQL\) (\d+\S*)")
#: what a client that wants TLS sends first (PostgreSQL's manual, "Message Formats", SSLRequest)
_WANTS_TLS = b"\0\0\0\x08\x04\xd2\x16\x2f"
#: the ways to reach a server that do without TLS where there is none
_PLAIN_IS_ALLOWED = frozenset({"disable", "allow", "prefer"})
#: seconds that a program has to say its version, or to call
_SOON = 10.0


class ProgramFailed(StepError):
    """One of PostgreSQL's programs did not do what it was asked to."""


class NoProgram(ProgramFailed):
    """None of PostgreSQL's programs on this machine fits the server."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """One of PostgreSQL's programs on this machine."""

    path: Path
    version: str
    embedded: bool = False
    #: why it is not the one that would have been taken first
    instead: str = ""

    @property
    def tls(self) -> bool:
        """Whether it can reach a server by TLS."""
        return _knows_tls(self.path)

    @property
    def major(self) -> int:
        """The first part of its version."""
        return int(re.split(r"\D", self.version, maxsplit=1)[0])

    def __str__(self) -> str:
        return f"{self.path.name} {self.version} ({'embedded' if self.embedded else self.path.parent})"


@dataclass(frozen=True, kw_only=True)
class Reached:
    """How a server is reached, as far as a program must be able to do the same."""

    version: int
    tls: bool
    #: whether the address does without TLS where there is none
    plain: bool


def fitting(name: str, url: str) -> Program:
    """Return the program to use for a database.

    It is the one in the folder that the environment variable GONOGO_PROGRAMS names; else the embedded one, which is the same on
    every machine; where that does not fit, the newest of this machine that does.

    Args:
        name: of the program, such as pg_dump.
        url: the database.

    Raises:
        NoProgram: none fits, or the server cannot be reached.
    """
    try:
        reached = _reached(url)
    except psycopg.Error as error:
        raise NoProgram(f"{name} for {safe_url(url)}: {str(error).strip()}") from None
    if program := _first(name, reached):
        return program
    if reached.tls and reached.plain and (program := _first(name, replace(reached, tls=False))) and _answers_plainly(url):
        return replace(program, instead="there is none with TLS here, and the address does without")
    found = "; ".join(f"{program}: {why_not(program, reached)}" for program in of_this_machine(name)) or "none was found"
    raise NoProgram(
        f"no {name} here fits {safe_url(url)}, PostgreSQL {reached.version}{', reached by TLS' if reached.tls else ''}: {found}."
        f" Install the client programs of PostgreSQL {reached.version} or later (on Debian the package"
        f" postgresql-client-{reached.version}), or set {VARIABLE} to the folder in which they are"
    )


def _first(name: str, reached: Reached) -> Program | None:
    passed = ""
    for program in of_this_machine(name):
        why = why_not(program, reached)
        if not why:
            return replace(program, instead=passed)
        passed = passed or f"{program} is {why}"
    return None


def why_not(program: Program, reached: Reached) -> str:
    """Say why a program does not fit a server, or nothing where it does."""
    if reached.tls and not program.tls:
        return "built without TLS"
    # a psql or a pgbench of another version works; what reads the catalogs does not
    if program.path.name == "pg_dump" and program.major < reached.version:
        return "older than the server"
    return ""


def of_this_machine(name: str) -> Iterator[Program]:
    """Yield what this machine has of a program, in the order in which it is preferred."""
    if folder := os.environ.get(VARIABLE):
        if found := _look(Path(folder) / name):
            yield found
        return
    if own := _look(embedded.program(name)):
        yield replace(own, embedded=True)
    yield from sorted(filter(None, map(_look, _installed(name))), key=lambda each: each.major, reverse=True)


def _installed(name: str) -> Iterator[Path]:
    seen: set[Path] = set()
    for pattern in _PLACES:
        for folder in Path("/").glob(pattern.lstrip("/")):
            seen.add((folder / name).resolve())
            yield folder / name
    # Debian's own name for them is a script that chooses one of the above
    if (found := shutil.which(name)) and Path(found).resolve() not in seen:
        yield Path(found)


@cache
def _look(path: Path) -> Program | None:
    """Look at a program: which version it is; None where it is none that works."""
    if not (path.is_file() and os.access(path, os.X_OK)):
        return None
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=_SOON, env=_bare(), check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(said)
    return Program(path=path, version=found[1]) if found else None


def _bare() -> dict[str, str]:
    """Return an environment that leads to no server."""
    return {"LC_ALL": "C", "HOME": "/nonexistent", **({"PATH": path} if (path := os.environ.get("PATH")) else {})}


@cache
def _knows_tls(path: Path) -> bool:
    """Say whether a program asks for TLS where it is told to: one that was built without ends before it calls anybody."""
    asker = next((other for name in ("psql", "pg_dump", "pgbench") if (other := path.with_name(name)).is_file()), None)
    if asker is None:
        return False
    with socket.create_server(("127.0.0.1", 0)) as server, selectors.DefaultSelector() as waiting:
        server.setblocking(False)
        waiting.register(server, selectors.EVENT_READ)
        port = server.getsockname()[1]
        where = f"host=127.0.0.1 port={port} user=nobody dbname=nothing sslmode=require gssencmode=disable connect_timeout=5"
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen([asker, where], env=_bare(), **quiet) as process:  # type: ignore[call-overload]
            deadline = clock.monotonic() + _SOON
            try:
                while clock.monotonic() < deadline:
                    if waiting.select(0.02):
                        return _first_words(server) == _WANTS_TLS
                    if process.poll() is not None and not waiting.select(0):
                        return False
            finally:
                process.kill()
    return False


def _first_words(server: socket.socket) -> bytes:
    caller, _ = server.accept()
    with caller:
        caller.settimeout(_SOON)
        return caller.recv(len(_WANTS_TLS), socket.MSG_WAITALL)


def _reached(url: str) -> Reached:
    with connect_plainly(url, connect_timeout=10) as connection:
        used = {each.keyword.decode(): (each.val or b"").decode() for each in connection.pgconn.info}
        return Reached(
            version=connection.info.server_version // 10000,
            tls=bool(connection.pgconn.ssl_in_use),
            plain=used.get("sslmode", "prefer") in _PLAIN_IS_ALLOWED,
        )


def _answers_plainly(url: str) -> bool:
    try:
        connect_plainly(url, connect_timeout=10, sslmode="disable").close()
    except psycopg.Error:
        return False
    return True


__all__ = ["VARIABLE", "NoProgram", "Program", "ProgramFailed", "fitting", "of_this_machine"]
