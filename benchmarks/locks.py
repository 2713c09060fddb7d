"""What readers lose while a script waits for its lock: `uv run python benchmarks/locks.py [--seconds N]`.

A session read the table and does not end its transaction for some seconds; two readers ask for one row of it again and again. In
turn: an ALTER TABLE without a limit, a loop that gives way after 50 ms and rests half a second, and gonogo as it is by default.
Printed are the share of that time in which a reader stood still, and the longest of their calls.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg

from gonogo import clock
from gonogo.postgres import embedded

#: a call that takes longer than this, in seconds, stood behind somebody
_STALLED = 0.02
_BOOK = """
runbook: locks
targets: {db: {database: $BENCH_URL}}
phases:
  - phase: all
    gate: {go_if: [ready]}
    tasks: [{task: column, steps: [{sql: column.sql, undo: nothing}]}]
checks:
  ready: {query: SELECT 0, expect: "= 0"}
"""
_ALTER = "ALTER TABLE item ADD COLUMN added int"


def main() -> None:
    """Let each of them wait, and print what it cost the readers."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=15.0)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="gonogo-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "runbooks").mkdir()
        (folder / "runbooks" / "locks.yaml").write_text(_BOOK)
        (folder / "sql_templates" / "locks").mkdir(parents=True)
        (folder / "sql_templates" / "locks" / "column.sql").write_text(_ALTER + ";\n")
        with embedded.running(folder / "18") as url:
            for what, work in (("no limit", _plain), ("50 ms, rests 0.5 s", _loop), ("gonogo", lambda url: _gonogo(folder, url))):
                _measure(url, what, work, seconds)


def _measure(url: str, what: str, work: Callable[[str], None], seconds: float) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS gonogo CASCADE; DROP TABLE IF EXISTS item")
        connection.execute("CREATE TABLE item (id int PRIMARY KEY); INSERT INTO item SELECT generate_series(1, 1000)")
    over = threading.Event()
    calls: list[list[tuple[float, float]]] = [[], []]
    readers = [threading.Thread(target=_read, args=(url, over, each)) for each in calls]
    with psycopg.connect(url) as blocker:
        blocker.execute("SELECT count(*) FROM item")
        for reader in readers:
            reader.start()
        waiting = threading.Thread(target=work, args=(url,))
        waiting.start()
        clock.sleep(1.0)
        began = clock.monotonic()
        clock.sleep(seconds)
        released = clock.monotonic()
    waiting.join()
    done = clock.monotonic()
    over.set()
    for reader in readers:
        reader.join()
    lost = [took for each in calls for at, took in each if took > _STALLED and began - took < at < released]
    within = [min(at + took, released) - max(at, began) for each in calls for at, took in each if took > _STALLED]
    share = sum(max(0.0, each) for each in within) / (2 * seconds)
    longest = max(lost, default=0) * 1000
    print(f"{what:20} lost {share:6.1%} of the time, longest {longest:6.0f} ms, done {done - released:.2f} s after")


def _read(url: str, over: threading.Event, calls: list[tuple[float, float]]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        while not over.is_set():
            began = clock.monotonic()
            connection.execute("SELECT id FROM item WHERE id = 7")
            calls.append((began, clock.monotonic() - began))
            clock.sleep(0.005)


def _plain(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_ALTER.encode())


def _loop(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET lock_timeout = '50ms'")
        while True:
            try:
                connection.execute(_ALTER.encode())
            except psycopg.errors.LockNotAvailable:
                clock.sleep(0.5)
            else:
                return


def _gonogo(folder: Path, url: str) -> None:
    command = [sys.executable, "-m", "gonogo", "run", "locks", "--without-prefect"]
    done = subprocess.run(command, cwd=folder, env={**os.environ, "BENCH_URL": url}, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout + done.stderr)


if __name__ == "__main__":
    main()
