"""Backup, proof and checksums of a large database, beside PostgreSQL's own tools; and a rehearsal beside the sum of its parts.

    uv run python benchmarks/backup.py --scale 70 --rounds 3

One embedded PostgreSQL 18, a database that pgbench fills (scale 70 is about a gigabyte), the contenders in turn.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from timing import quietly, run, timed

from gonogo import project
from gonogo.postgres import embedded
from gonogo.postgres.checksum import checksum
from gonogo.postgres.connection import Connection, Database
from gonogo.postgres.scratch import ScratchServer
from gonogo.recovery import dump
from gonogo.recovery.manifest import read

#: the fastest SQL that we know to notice every change of a value: one hash of each row's text, summed as a numeric
PLAIN_CHECKSUM = "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {} AS t"

TABLES = tuple(f"public.pgbench_{name}" for name in ("accounts", "history", "tellers", "branches"))


@contextmanager
def empty(url: str) -> Iterator[str]:
    """Make an empty database for a while."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS plain_restore")
        connection.execute("CREATE DATABASE plain_restore TEMPLATE template0")
        yield url.replace("/postgres?", "/plain_restore?")
        connection.execute("DROP DATABASE plain_restore")


def pair(url: str, number: int, plain: Callable[[], float], ours: Callable[[], float]) -> tuple[float, float]:
    """Return the seconds of the plain tool and of gonogo; who goes first changes from round to round."""
    first, second = (ours, plain) if number % 2 else (plain, ours)
    took = settled(url, first), settled(url, second)
    return (took[1], took[0]) if number % 2 else took


def settled(url: str, work: Callable[[], float]) -> float:
    """Do some work once nothing of what came before is still to be written."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    os.sync()
    return work()


def plain_sums(connection: Connection) -> float:
    """Return the seconds that summing up every table by the text of its rows takes."""
    return timed(lambda: [connection.execute(PLAIN_CHECKSUM.format(table).encode()).fetchone() for table in TABLES])


def sums(connection: Connection) -> float:
    """Return the seconds that it takes as gonogo does it."""
    return timed(lambda: [checksum(connection, table) for table in TABLES])


def measure(url: str, folder: Path, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return for each kind of work the seconds of the plain tool and of gonogo, round by round."""
    large = url.replace("/postgres?", "/large?")
    database = Database(url=large)
    room = ScratchServer(database=database, spare=lambda: url)
    found: dict[str, list[tuple[float, float]]] = {"backup": [], "restore and proof": [], "restore alone": [], "checksums": []}

    def prove() -> float:
        began = time.monotonic()
        restored.append(dump.prove(read(folder / "ours"), room, quietly).restored_in)
        return time.monotonic() - began

    def plainly_restored() -> float:
        with empty(url) as target:
            return timed(lambda: run("pg_restore", "-j2", "-d", target, folder / "plain"))

    for number in range(rounds):
        for name in ("plain", "ours"):
            shutil.rmtree(folder / name, ignore_errors=True)
        restored: list[float] = []
        dumped = pair(
            url,
            number,
            lambda: timed(lambda: run("pg_dump", "-Fd", "-j2", "-Z", "gzip:1", "-f", folder / "plain", large)),
            lambda: timed(lambda: dump.take(database, folder / "ours", quietly)),
        )
        found["backup"].append(dumped)
        proved = pair(url, number, plainly_restored, prove)
        found["restore and proof"].append(proved)
        found["restore alone"].append((proved[0], restored[0]))
        with database.connect("benchmark") as connection:
            connection.execute("SET statement_timeout = 0")
            found["checksums"].append(pair(url, number, lambda: plain_sums(connection), lambda: sums(connection)))
    return found


def main() -> None:
    """Measure, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=int, default=70, help="pgbench's scale; 70 is about a gigabyte")
    parser.add_argument("--text", action="store_true", help="fill the rows with text instead of blanks")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    project.prepend_import_root()
    folder = Path(tempfile.mkdtemp(prefix="gonogo-bench-"))
    folder.chmod(0o755)
    try:
        with embedded.running(folder / "pg") as url:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("CREATE DATABASE large")
            run("pgbench", "-i", "-q", "-s", chosen.scale, url.replace("/postgres?", "/large?"))
            if chosen.text:
                with psycopg.connect(url.replace("/postgres?", "/large?"), autocommit=True) as connection:
                    # pgbench's filler is blanks; this is text that does not compress to nothing
                    connection.execute("UPDATE pgbench_accounts SET filler = md5(aid::text) || md5(bid::text || aid)")
                    connection.execute("VACUUM FULL pgbench_accounts")
            with psycopg.connect(url.replace("/postgres?", "/large?"), autocommit=True) as connection:
                row = connection.execute("SELECT pg_size_pretty(pg_database_size('large'))").fetchone()
                connection.execute("CHECKPOINT")
            print(f"the database has {row[0] if row else '?'}")
            for name, pairs in measure(url, folder, chosen.rounds).items():
                ratios = [ours / plain for plain, ours in pairs]
                plain = statistics.median(plain for plain, _ in pairs)
                each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
                print(f"{name:>18}: {statistics.median(ratios):.2f} of the plain tool's {plain:.1f} s ({each})")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
