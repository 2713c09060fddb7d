"""A copy of a database, each way that gonogo can have one: seconds beside pg_dump and pg_restore.

    uv run python benchmarks/copies.py --scale 70 --folder /mnt/xfs

One embedded PostgreSQL 18 in the folder, a database that pgbench fills (scale 70 is about a gigabyte). Where the folder's file
system can clone files (XFS, Btrfs, ZFS), that is measured, too. With --rehearse, the rehearsal of a small change on a copy of the
files is put beside them: what the copy costs, and all.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
from psycopg import sql
from timing import run, timed

from gonogo.postgres import embedded

BOOK = """
runbook: book
targets: {db: {database: $TEST_URL, rehearse_on: {files: true}}}
sql: {statement_timeout: 2h}
phases:
  - phase: one
    tasks:
      - {task: work, steps: [{sql: a.sql, undo: a.undo.sql}]}
"""


def copied(url: str, how: str, method: str = "copy") -> float | str:
    """Copy the database on its own server, drop the copy, and return the seconds; or why it cannot be."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        connection.execute(sql.SQL("SET file_copy_method = {}").format(sql.Literal(method)))
        try:
            seconds = timed(lambda: connection.execute(f"CREATE DATABASE copy TEMPLATE big STRATEGY {how}".encode()))
        except psycopg.Error as error:
            return str(error).splitlines()[0]
        connection.execute("DROP DATABASE copy")
    return seconds


def dumped(url: str, folder: Path) -> float:
    """Dump the database and restore it, as gonogo does: two jobs, compressed a little."""
    dump = folder / "dump"

    def work() -> None:
        run("pg_dump", "-Fd", "-j2", "-Z", "gzip:1", "-f", dump, "-d", url.replace("/postgres?", "/big?"))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE copy TEMPLATE template0")
        run("pg_restore", "-j2", "-d", url.replace("/postgres?", "/copy?"), dump)

    seconds = timed(work)
    shutil.rmtree(dump)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP DATABASE copy")
    return seconds


def rehearsed(url: str, folder: Path) -> float:
    """Rehearse a change of one small table, forward and back, on a copy of the files."""
    project = folder / "project"
    (project / "runbooks").mkdir(parents=True)
    (project / "sql_templates" / "book").mkdir(parents=True)
    (project / "runbooks" / "book.yaml").write_text(BOOK, encoding="utf-8")
    for name, text in (("a.sql", "ADD COLUMN colour text"), ("a.undo.sql", "DROP COLUMN colour")):
        (project / "sql_templates" / "book" / name).write_text(f"ALTER TABLE pgbench_branches {text};\n", encoding="utf-8")
    environment = {**os.environ, "TEST_URL": url.replace("/postgres?", "/big?")}
    command = [sys.executable, "-m", "gonogo", "rehearse", "book", "--json"]
    began = time.monotonic()
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=True)
    seconds = time.monotonic() - began
    assert json.loads(done.stdout)["shortcomings"] == "", done.stdout
    return seconds


def main() -> None:
    """Measure, and print a table."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--scale", type=int, default=70, help="pgbench's scale")
    asked.add_argument("--folder", type=Path, help="where the server lies; a temporary folder without it")
    asked.add_argument("--rehearse", action="store_true", help="rehearse a small change, too")
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="gonogo-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with embedded.running(folder / "pg") as url:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("CREATE DATABASE big")
            run("pgbench", "-i", "-q", "-s", given.scale, url.replace("/postgres?", "/big?"))
            with psycopg.connect(url, autocommit=True) as connection:
                (size,) = connection.execute("SELECT pg_size_pretty(pg_database_size('big'))").fetchone() or ("",)
            floor = dumped(url, folder)
            rows: list[tuple[str, float | str]] = [
                ("pg_dump and pg_restore", floor),
                ("CREATE DATABASE, by the log", copied(url, "WAL_LOG")),
                ("CREATE DATABASE, files copied", copied(url, "FILE_COPY")),
                ("CREATE DATABASE, files cloned", copied(url, "FILE_COPY", "clone")),
            ]
            if given.rehearse:
                rows.append(("a rehearsal on copied files", rehearsed(url, folder)))
    print(f"{size}:")
    for what, found in rows:
        print(f"  {what:32} " + (f"{found:7.1f} s  {found / floor:5.2f}" if isinstance(found, float) else found))


if __name__ == "__main__":
    main()
