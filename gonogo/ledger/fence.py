"""The fence: one runner for a target, by a row that every step's transaction reads at its own epoch.

Taking over raises the epoch: a runner that was stopped, cut off or doubled can then commit nothing more.
"""

from __future__ import annotations

import os
import platform
import secrets
from functools import lru_cache

import psycopg

from gonogo import clock
from gonogo.errors import Fenced, Refused, TargetBusy
from gonogo.postgres.connection import Connection, transaction
from gonogo.postgres.pooled import backend_of


def reserve(connection: Connection) -> None:
    """Lock the fence for the caller's transaction, and refuse a target that somebody works on.

    Of two that start at the same instant, the second one waits here and then sees the first one's run.

    Raises:
        Occupied: another runner does.
    """
    try:
        row = connection.execute("SELECT pid, backend_start, run, holder FROM gonogo.fence WHERE id = 1 FOR UPDATE").fetchone()
    except psycopg.errors.LockNotAvailable:
        raise TargetBusy("another runner is starting or working on this target; see `gonogo status`") from None
    if row and _alive(connection, row[0], row[1]):
        raise TargetBusy(_say_holder(connection, row[2], row[3], row[0]))


def hold(connection: Connection, run: str) -> None:
    """Hold the target for a run that this process is about to work on, as long as this connection lives."""
    _sign(connection, run, epochs=0)


def require_mine(connection: Connection, run: str, epoch: int) -> None:
    """Refuse to go on where another runner took over; before anything is ended that may be the other's.

    Raises:
        Fenced: another runner did.
    """
    row = connection.execute("SELECT run, epoch FROM gonogo.fence WHERE id = 1").fetchone()
    if row is None or (row[0], row[1]) != (run, epoch):
        raise Fenced("another runner took this run over while the connection was lost")


def _sign(connection: Connection, run: str, *, epochs: int) -> None:
    """Write this process and this connection's backend into the fence, and raise its epoch by some."""
    connection.execute(
        "UPDATE gonogo.fence SET run = %s, epoch = epoch + %s, holder = %s, pid = pg_catalog.pg_backend_pid(), backend_start ="
        " (SELECT backend_start FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()) WHERE id = 1",
        [run, epochs, _me(os.getpid())],
    )


@lru_cache(maxsize=1)
def _me(process: int) -> str:
    # two containers can have one name, and both a process 1: a word of its own tells every process from any other
    return f"process {process} on {platform.node()} ({secrets.token_hex(4)})"


#: whether the backend of a fence still lives. Who may not see when it began sees its name all the same
_LIVES = "(a.backend_start = {since} OR a.backend_start IS NULL AND a.application_name LIKE 'gonogo/%%')"


def _alive(connection: Connection, pid: int | None, since: object) -> bool:
    if pid is None or pid == backend_of(connection):
        return False
    lives = _LIVES.format(since="%s")
    found = connection.execute(
        f"SELECT 1 FROM pg_catalog.pg_stat_activity a WHERE a.pid = %s AND {lives}".encode(), [pid, since]
    ).fetchone()
    return found is not None


def claim(connection: Connection, run: str, *, take_over: bool = False, patience: float = 5.0, ending: float = 20.0) -> int:
    """Become the target's one runner; return the epoch that every step is fenced by.

    Args:
        connection: the one that will run the steps.
        run: the run.
        take_over: end the backend of a runner that is still there.
        patience: seconds to wait for a runner that is just dying.
        ending: seconds that the one that is ended may take.

    Raises:
        TargetBusy: another runner works on the target.
        Refused: its backend does not end.
    """
    deadline = clock.monotonic() + (ending if take_over else patience)
    while True:
        try:
            with transaction(connection):
                return _claim_once(connection, run)
        except (TargetBusy, psycopg.errors.LockNotAvailable) as error:
            if clock.monotonic() > deadline:
                raise error if isinstance(error, TargetBusy) else TargetBusy(_holder(connection)) from None
            if take_over:
                end_holder(connection)
            # a runner that lives makes its connection again: whoever takes over is there before it
            clock.sleep(0.01 if take_over else 0.1)


def _claim_once(connection: Connection, run: str) -> int:
    connection.execute("SET LOCAL lock_timeout = '500ms'")
    row = connection.execute("SELECT epoch, pid, backend_start, run, holder FROM gonogo.fence WHERE id = 1 FOR UPDATE").fetchone()
    epoch, pid, since, held_run, holder = row or (0, None, None, "", "")
    # what this very process holds for this run is its own
    if (held_run, holder) != (run, _me(os.getpid())) and _alive(connection, pid, since):
        raise TargetBusy(_say_holder(connection, held_run, holder, pid))
    _sign(connection, run, epochs=1)
    return int(epoch) + 1


def reclaim(connection: Connection, run: str, epoch: int) -> None:
    """Name a new connection as the one that runs the steps, when nobody took over meanwhile.

    Raises:
        Fenced: somebody did.
    """
    with transaction(connection):
        row = connection.execute("SELECT pid, backend_start, run, epoch FROM gonogo.fence WHERE id = 1 FOR UPDATE").fetchone()
        if row is None or (row[2], row[3]) != (run, epoch):
            raise Fenced("another runner took this run over while the connection was lost")
        _sign(connection, run, epochs=0)


def release(connection: Connection, run: str, epoch: int) -> None:
    """Let the next runner in at once."""
    connection.execute("UPDATE gonogo.fence SET pid = NULL WHERE id = 1 AND run = %s AND epoch = %s", [run, epoch])


def end_holder(connection: Connection, seconds: float = 5.0, *, epoch: int | None = None) -> None:
    """End the backend that the fence names and wait until it is gone: what it did is then either committed or not.

    Args:
        connection: where it is looked for.
        seconds: how long it may take.
        epoch: only where it is a former connection of the runner with that epoch, and of no later one.

    Raises:
        Refused: it does not end.
    """
    deadline = clock.monotonic() + seconds
    # the start time tells it from a stranger that got the same number after a restart of the server
    query = (
        "SELECT a.pid, a.backend_start FROM pg_catalog.pg_stat_activity a"
        " JOIN gonogo.fence f ON a.pid = f.pid AND a.backend_start = f.backend_start"
        " WHERE a.pid <> pg_catalog.pg_backend_pid() AND (%(epoch)s::bigint IS NULL OR f.epoch = %(epoch)s)"
    )
    found = connection.execute(query.encode(), {"epoch": epoch}).fetchone()
    if found is None:
        return
    connection.execute("SELECT pg_catalog.pg_terminate_backend(%s)", [found[0]])
    # whoever it was may hold the fence again by then, with another connection
    there = "SELECT 1 FROM pg_catalog.pg_stat_activity WHERE pid = %s AND backend_start = %s"
    while connection.execute(there, found).fetchone():
        if clock.monotonic() > deadline:
            raise Refused(f"a former runner's backend does not end. {_holder(connection)}")
        clock.sleep(0.02)


def _holder(connection: Connection) -> str:
    row = connection.execute("SELECT run, holder, pid FROM gonogo.fence WHERE id = 1").fetchone()
    return _say_holder(connection, *(row or ("", "", 0)))


def holder_alive(connection: Connection, run: str) -> bool:
    """Say whether a runner works on this run now."""
    lives = _LIVES.format(since="f.backend_start")
    row = connection.execute(
        f"SELECT 1 FROM gonogo.fence f JOIN pg_catalog.pg_stat_activity a USING (pid) WHERE f.run = %s AND {lives}".encode(),
        [run],
    ).fetchone()
    return row is not None


def _say_holder(connection: Connection, run: str, holder: str, pid: int) -> str:
    plan = connection.execute(
        "SELECT body->'plan'->>'runbook', body->'plan'->>'target' FROM gonogo.event WHERE run = %s ORDER BY seq LIMIT 1", [run]
    ).fetchone()
    where = f"{plan[0]} --target {plan[1]}" if plan else "RUNBOOK"
    return (
        f"the run {run} works on this target: {holder}, backend {pid}. Wait for it, ask it to stop with `gonogo hold {where}`,"
        f" or, if that process is lost, go on with `gonogo resume {where} --take-over`"
    )
