"""What an application notices of a backfill: `uv run python benchmarks/backfill.py [--rows N] [--rounds N] [--only METHOD ...]`.

pgbench asks 200 times a second, half of it reads of one row and half updates of one, on the table that is worked through; its
99th percentile during the backfill is set beside that of the seconds before it, in the same round. The methods take turns: a
plain psycopg loop of 1,000 rows, gonogo flat out, gonogo by default (guarded), and two ways back: one script, and batches.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from gonogo import clock
from gonogo.postgres import embedded

_IDLE = 8.0
_SETTINGS = ("shared_buffers = '512MB'", "max_wal_size = '8GB'", "checkpoint_timeout = '30min'")
_BOOK = """
runbook: fill
targets: {{db: {{database: $BENCH_URL}}}}
phases:
  - phase: all
    gate: {{go_if: [ready]}}
    tasks:
      - task: fill
        steps:
          - backfill: {{table: orders, sql: fill.sql.j2, batch: {batch}, pace: {{{pace}}}}}
            undo: {undo}
            keeps: "the column is filled again from amount"
checks:
  ready: {{query: SELECT 0, expect: "= 0"}}
"""
_FILES = {
    "fill.sql.j2": "UPDATE orders SET cents = (amount * 100)::bigint WHERE {{ batch }} AND cents IS NULL;\n",
    "unfill.sql.j2": "UPDATE orders SET cents = NULL WHERE {{ batch }} AND {{ unchanged }};\n",
    "unfill.sql": "UPDATE orders SET cents = NULL WHERE cents IS NOT NULL;\n",
}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One method in one round: the seconds of the work, and the latencies beside it, in milliseconds."""

    seconds: float
    idle99: float
    during99: float
    longest: float


def main() -> None:
    """Run the methods in turn, and print a table of medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[])
    given = parser.parse_args()
    methods: dict[str, Callable[[Bench], float]] = {
        "psycopg loop": Bench.loop,
        "flat out": lambda bench: bench.gonogo("mode: flat out"),
        "guarded": lambda bench: bench.gonogo("mode: guarded"),
        "undo, one script": lambda bench: bench.back("unfill.sql"),
        "undo, batches": lambda bench: bench.back("{backfill: unfill.sql.j2}"),
    }
    chosen = given.only or list(methods)
    for name in chosen:
        if name.startswith("fixed "):
            # such as `fixed 100 5ms`
            _, batch, rest = name.split()
            methods[name] = lambda bench, batch=batch, rest=rest: bench.gonogo(f"mode: fixed, rest: {rest}", int(batch))  # type: ignore[misc]
    found: dict[str, list[Measured]] = {name: [] for name in chosen}
    with tempfile.TemporaryDirectory(prefix="gonogo-bench-") as folder:
        Path(folder).chmod(0o755)
        with embedded.running(Path(folder) / "18") as url:
            bench = Bench(url, Path(folder), given.rows)
            for number in range(given.rounds):
                for name in chosen if number % 2 == 0 else chosen[::-1]:
                    bench.reset()
                    bench.prepare(name)
                    made = bench.measure(lambda name=name: methods[name](bench))  # type: ignore[misc]
                    found[name].append(made)
                    print(
                        f"{number} {name:18} {made.seconds:7.1f} s {given.rows / made.seconds / 1000:7.1f} k rows/s"
                        f"  p99 {made.idle99:.2f} -> {made.during99:.2f} ms (x{made.during99 / made.idle99:.2f})"
                        f"  longest {made.longest:.0f} ms",
                        flush=True,
                    )
    base = _median([each.seconds for each in found["psycopg loop"]]) if found.get("psycopg loop") else None
    print("\n| | rows/s, of the loop's | p99 beside it / before | longest call, ms |\n|---|---|---|---|")
    for name, all_ in found.items():
        speed = f"{base / _median([each.seconds for each in all_]):.2f}" if base else "-"
        ratio = _median([each.during99 / each.idle99 for each in all_])
        print(f"| {name} | {speed} | x{ratio:.2f} | {max(each.longest for each in all_):.0f} |")


class Bench:
    """A server, a table, and the ways to fill it."""

    def __init__(self, url: str, folder: Path, rows: int) -> None:
        self.url, self.folder, self.rows, self.name = url, folder, rows, "bench"
        for setting in _SETTINGS:
            self.admin(f"ALTER SYSTEM SET {setting}")
        self.admin("CREATE DATABASE base")
        with psycopg.connect(self.of("base"), autocommit=True) as connection:
            connection.execute(
                f"CREATE TABLE orders (id int PRIMARY KEY, acct int NOT NULL, amount numeric NOT NULL, note text, cents bigint);"
                f"INSERT INTO orders SELECT g, g % 1000, g * 1.01, repeat('x', 60) FROM generate_series(1, {rows}) g".encode()
            )
            connection.execute("VACUUM ANALYZE orders")

    def admin(self, statement: str) -> None:
        """Say something to the server."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def of(self, database: str) -> str:
        """Return the address of one of its databases."""
        return self.url.replace("/postgres?", f"/{database}?")

    @property
    def target(self) -> str:
        """Where the table is that is worked through."""
        return self.of(self.name)

    def reset(self) -> None:
        """Begin with the table as it was."""
        self.admin(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")
        self.admin(f"CREATE DATABASE {self.name} TEMPLATE base STRATEGY FILE_COPY")
        self.admin("CHECKPOINT")
        with psycopg.connect(self.target) as connection:
            connection.execute("SELECT sum(acct) FROM orders")

    def prepare(self, name: str) -> None:
        """Do what comes before the traffic: for a way back, the way forward."""
        if name.startswith("undo"):
            self._project("mode: flat out", "unfill.sql" if "script" in name else "{backfill: unfill.sql.j2}")
            self._command("run", "fill")
            self.admin("CHECKPOINT")

    def measure(self, work: Callable[[], float]) -> Measured:
        """Do the work beside the traffic; it returns the seconds that it took itself."""
        with self.traffic() as logs:
            clock.sleep(2.0)
            before = clock.now().timestamp()
            clock.sleep(_IDLE)
            began = clock.now().timestamp()
            seconds = work()
            ended = clock.now().timestamp()
        rows = [_row(line) for file in logs.glob("l*") for line in file.read_text().splitlines()[:-1]]
        idle = [took for at, took in rows if before <= at < began]
        during = [took for at, took in rows if ended - seconds <= at < ended + 0.5]
        return Measured(seconds=seconds, idle99=_p99(idle), during99=_p99(during), longest=max(during))

    @contextmanager
    def traffic(self) -> Iterator[Path]:
        """Let pgbench ask 200 times a second, and yield where its log lies."""
        logs = self.folder / "logs"
        shutil.rmtree(logs, ignore_errors=True)
        logs.mkdir()
        read, write = self.folder / "read.sql", self.folder / "write.sql"
        read.write_text(f"\\set id random(1, {self.rows})\nSELECT amount, acct FROM orders WHERE id = :id;\n")
        write.write_text(f"\\set id random(1, {self.rows})\nUPDATE orders SET acct = acct + 1 WHERE id = :id;\n")
        command = [str(embedded.program("pgbench")), "-n", "-c", "4", "-j", "1", "-R", "200", "-T", "900", "-M", "prepared"]
        command += ["-f", f"{read}@1", "-f", f"{write}@1", "-l", "--log-prefix", str(logs / "l"), self.target]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield logs
            clock.sleep(1.0)
        finally:
            process.terminate()
            process.wait(30)

    def loop(self) -> float:
        """Fill it as a careful person would by hand."""
        began = clock.monotonic()
        with psycopg.connect(self.target, autocommit=True) as connection:
            last = 0
            while True:
                row = connection.execute(
                    "SELECT max(id) FROM (SELECT id FROM orders WHERE id > %s ORDER BY id LIMIT 1000) b", [last]
                ).fetchone()
                if row is None or row[0] is None:
                    return clock.monotonic() - began
                connection.execute(
                    "UPDATE orders SET cents = (amount * 100)::bigint WHERE id > %s AND id <= %s AND cents IS NULL",
                    [last, row[0]],
                )
                last = row[0]

    def gonogo(self, pace: str, batch: int = 1000) -> float:
        """Fill it as gonogo does; return the seconds from its first batch to its last."""
        self._project(pace, "nothing", batch)
        self._command("run", "fill")
        return self._lasted("batch done")

    def back(self, undo: str) -> float:
        """Take it back as gonogo does."""
        del undo
        self._command("rollback", "fill", "--reason", "to measure it")
        with psycopg.connect(self.target) as connection:
            left = connection.execute("SELECT count(*) FROM orders WHERE cents IS NOT NULL").fetchone()
        print(f"    {left[0] if left else '?'} rows are still filled: the application changed them")
        return self._lasted("undo")

    def _lasted(self, kind: str) -> float:
        query = "SELECT extract(epoch FROM max(at) - min(began)) FROM gonogo.event WHERE kind LIKE %s || '%%'"
        with psycopg.connect(self.target) as connection:
            row = connection.execute(query.encode(), [kind]).fetchone()
        return float(row[0]) if row else 0.0

    def _project(self, pace: str, undo: str, batch: int = 1000) -> None:
        project = self.folder / "project"
        shutil.rmtree(project, ignore_errors=True)
        (project / "runbooks").mkdir(parents=True)
        (project / "runbooks" / "fill.yaml").write_text(_BOOK.format(pace=pace, undo=undo, batch=batch))
        (project / "sql_templates" / "fill").mkdir(parents=True)
        for name, text in _FILES.items():
            (project / "sql_templates" / "fill" / name).write_text(text)

    def _command(self, *words: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "gonogo", *words, "--without-prefect"],
            cwd=self.folder / "project",
            env={**os.environ, "BENCH_URL": self.target},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in (0, 11):
            sys.exit(done.stdout + done.stderr)


def _row(line: str) -> tuple[float, float]:
    """Return when a call began, and how many milliseconds it took, from pgbench's log."""
    parts = line.split()
    took = int(parts[2]) / 1000
    return int(parts[4]) + int(parts[5]) / 1e6 - took / 1000, took


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


if __name__ == "__main__":
    main()
