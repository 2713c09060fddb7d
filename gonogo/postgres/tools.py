"""PostgreSQL's own programs: pg_dump, pg_restore, psql; without a password in a process list, and never without end."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from psycopg.conninfo import make_conninfo

from gonogo import clock, private_files
from gonogo.core.model.duration import say_duration
from gonogo.postgres import programs
from gonogo.postgres.address import secrets_of, without_secrets
from gonogo.postgres.programs import Program, ProgramFailed

Say = Callable[[str], None]
#: seconds that a program may take, and between two words about it
LIMIT, _WORD = 6 * 3600, 5.0


@contextmanager
def running(
    command: Sequence[str],
    url: str,
    *,
    connects: bool = True,
    answers: bool = False,
    last: bool = False,
    program: Program | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Run one of PostgreSQL's programs; its password is where only this account may read it.

    Args:
        command: its name and its arguments.
        url: the database that it works on, or whose dump it reads.
        connects: whether it reaches that database.
        answers: whether what it prints is wanted.
        last: whether the database comes last and without a name, as pgbench wants it.
        program: the one to run, where that was chosen already.

    Raises:
        NoProgram: this machine has none that fits the server.
    """
    program = program or programs.fitting(command[0], url)
    where = [_address(program, url)] if connects else []
    named = where if last else [f"--dbname={each}" for each in where]
    # a password that is in the environment goes the same way as one in the address
    with private_files.for_libpq({"password": os.environ.get("PGPASSWORD", "")} | secrets_of(url)) as given:
        process = subprocess.Popen(
            [program.path, *([] if last else named), *command[1:], *(named if last else [])],
            env=_environment(program) | given | {"LC_ALL": "C"},
            stdout=subprocess.PIPE if answers else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            umask=0o077,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - it takes no lock, and only calls the kernel
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()


def _address(program: Program, url: str) -> str:
    """Return the address of a database for a program; one without TLS refuses every wish for it, through a socket too."""
    return without_secrets(url) if program.tls else without_secrets(make_conninfo(url, sslmode="disable"))


def _environment(program: Program) -> dict[str, str]:
    """Return what of this process's environment a program gets: all that libpq reads there, but what it was built without."""
    kept = {name: value for name, value in os.environ.items() if name != "PGPASSWORD"}
    if program.tls:
        return kept
    return {name: value for name, value in kept.items() if not name.startswith(("PGSSL", "PGGSS"))}


def answer_of(command: Sequence[str], url: str, *, limit: float) -> str:
    """Return what one of PostgreSQL's programs prints.

    Args:
        command: its name and its arguments; the database comes last, as pgbench wants it.
        url: the database that it works on.
        limit: the seconds that it may take.

    Raises:
        ProgramFailed: it failed, or takes too long.
    """
    with running(command, url, last=True, answers=True) as process:
        try:
            said, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise ProgramFailed(f"{command[0]} took longer than {say_duration(limit)}") from None
    if process.returncode:
        worst = [line for line in errors.splitlines() if "error" in line.lower()] or errors.splitlines()
        raise ProgramFailed(f"{command[0]} failed ({process.returncode}): {' '.join(worst[:3])[:800]}")
    return said


def end_with_parent() -> None:
    """Ask Linux to end this child when its parent dies, however that happens (prctl, PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def finish(process: subprocess.Popen[str], say: Say, word: str, *, writes: Path | None = None, limit: float = LIMIT) -> None:
    """Wait for a program, telling how far it is.

    Args:
        process: the program.
        say: where its progress is told.
        word: what it does, for people: dumping, restoring.
        writes: the folder that it fills.
        limit: the seconds that it may take.

    Raises:
        ProgramFailed: it failed, was ended, or takes too long.
    """
    began = notes = clock.monotonic()
    while True:
        try:
            _, errors = process.communicate(timeout=0.5)
            break
        except subprocess.TimeoutExpired:
            now = clock.monotonic()
            if now - began > limit:
                raise ProgramFailed(f"{word} took longer than {say_duration(limit)}") from None
            if now - notes >= _WORD:
                notes = now
                size = sum(file.stat().st_size for file in writes.rglob("*")) if writes and writes.exists() else 0
                say(f"{word}: {say_duration(now - began)}{f', {size / 1e6:,.0f} MB' if size else ''}")
    lines = [line for line in errors.strip().splitlines() if line.strip()]
    if process.returncode and not _only_older(lines):
        worst = [line for line in lines if "error:" in line.lower() and "transaction_timeout" not in line] or lines
        raise ProgramFailed(f"{word} failed ({process.returncode}): {' '.join(worst[:3])[:800] or 'it was ended'}")


def _only_older(lines: Sequence[str]) -> bool:
    """Say whether all that pg_restore 18 met is that an older server does not know one of its settings (from 17 on).

    What the server says of it is in the server's own language; what pg_restore adds, the command itself, is not. Several of its
    processes write at once, so that their lines mix: what counts is how often each piece is there.
    """
    text = "\n".join(lines)
    met = text.count("error:")
    return met > 0 and met == text.count("could not execute query") == text.count("Command was: SET transaction_timeout = 0;")
