"""A thousand small scripts: gonogo beside a plain psycopg loop, alembic and dbmate, on one server, in turn.

    uv run python benchmarks/scripts.py [--count 1000] [--rounds 5] [--grow]

Each does the same: every script in a transaction of its own, with a row of history. Times are of whole processes,
so the start of Python and all imports count; `engine` is the part of gonogo's run from its first fact to its last.
dbmate is used where it is on the PATH, or in benchmarks/.peers (npm install --prefix benchmarks/.peers dbmate).
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from gonogo.postgres import embedded

HERE = Path(__file__).resolve().parent
LOOP = """
import hashlib, pathlib, sys
import psycopg
with psycopg.connect(sys.argv[1]) as connection:
    connection.execute("CREATE TABLE history (id text PRIMARY KEY, sha256 text, at timestamptz DEFAULT now())")
    connection.commit()
    for file in sorted(pathlib.Path(sys.argv[2]).glob("*.sql")):
        text = file.read_text()
        connection.execute(text.encode())
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        connection.execute("INSERT INTO history (id, sha256) VALUES (%s, %s)", [file.name, sha256])
        connection.commit()
"""
ALEMBIC_ENV = """
import os
from alembic import context
from sqlalchemy import create_engine
with create_engine(os.environ["BENCH_SQLALCHEMY_URL"]).connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""


def scripts(count: int) -> list[str]:
    """Return small scripts of four sorts: create a table, add a column, create an index, insert rows."""
    made = []
    for number in range(count):
        table = f"t_{number // 4}"
        made.append(
            (
                f"CREATE TABLE {table} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL);\n",
                f"ALTER TABLE {table} ADD COLUMN note text DEFAULT 'x';\n",
                f"CREATE INDEX {table}_name ON {table} (name);\n",
                f"INSERT INTO {table} (name) SELECT 'n' || g FROM generate_series(1, 5) AS g;\n",
            )[number % 4]
        )
    return made


def write_inputs(folder: Path, count: int) -> None:
    """Write the same scripts as each of the tools wants them."""
    for name in ("runbooks", "sql_templates/many/s", "alembic/versions", "dbmate"):
        (folder / name).mkdir(parents=True)
    (folder / "runbooks/many.yaml").write_text(
        "runbook: many\ntargets: {db: {database: $BENCH_URL}}\nphases:\n  - phase: all\n"
        '    tasks: [{task: all, steps: [{sql: "s/*.sql", undo: nothing}]}]\n'
    )
    (folder / "loop.py").write_text(LOOP)
    (folder / "alembic.ini").write_text(f"[alembic]\nscript_location = {folder / 'alembic'}\n")
    (folder / "alembic/env.py").write_text(ALEMBIC_ENV)
    previous = None
    for number, text in enumerate(scripts(count)):
        (folder / f"sql_templates/many/s/{number:05}.sql").write_text(text)
        (folder / f"dbmate/{number:014}_s.sql").write_text(f"-- migrate:up\n{text}\n-- migrate:down\n")
        head = f"from alembic import op\nrevision = 'r{number:05}'\ndown_revision = {previous!r}\n"
        (folder / f"alembic/versions/r{number:05}.py").write_text(f"{head}def upgrade():\n    op.execute({text!r})\n")
        previous = f"r{number:05}"


class Bench:
    """One server; a fresh database for each turn."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        peers = HERE / ".peers" / "node_modules" / ".bin" / "dbmate"
        self.dbmate = shutil.which("dbmate") or (str(peers) if peers.exists() else "")

    def fresh(self) -> str:
        """Make an empty database; return its URL."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("DROP DATABASE IF EXISTS bench WITH (FORCE)")
            connection.execute("CREATE DATABASE bench")
            connection.execute("CHECKPOINT")
        return self.url.replace("/postgres?", "/bench?")

    def time(self, command: list[str], url: str) -> tuple[float, float]:
        """Run a command; return its seconds, and its peak memory in MB."""
        host = url.rsplit("host=", 1)[1]
        env = {
            **os.environ,
            "BENCH_URL": url,
            "BENCH_SQLALCHEMY_URL": f"postgresql+psycopg://postgres@/bench?host={host}",
            "DATABASE_URL": f"postgres://postgres@/bench?host={host}",
            "PREFECT_LOGGING_LEVEL": "ERROR",
        }
        # without .pyc files every start would compile what it imports
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        began = time.perf_counter()
        with subprocess.Popen(command, cwd=self.folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            seconds = time.perf_counter() - began
            if process.returncode:
                raise SystemExit(f"{command}: {process.stderr.read().decode() if process.stderr else ''}")
        return seconds, usage.ru_maxrss / 1024

    def engine(self, url: str) -> float:
        """Return the seconds from a run's first fact to its last."""
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT extract(epoch FROM max(at) - min(at))::float8 FROM gonogo.event").fetchone()
        return float(row[0]) if row else 0.0


def measure(count: int, rounds: int) -> dict[str, float]:
    """Print the figures of a number of scripts; return the medians."""
    with tempfile.TemporaryDirectory(prefix="gonogo-bench-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        write_inputs(folder, count)
        with embedded.running(folder / "postgres") as url:
            return _measure(Bench(url, folder), count, rounds)


def _measure(bench: Bench, count: int, rounds: int) -> dict[str, float]:
    python = sys.executable
    gonogo = [python, "-m", "gonogo"]
    tools: dict[str, list[str]] = {
        "psycopg loop": [python, "loop.py", "$URL", "sql_templates/many/s"],
        "gonogo": [*gonogo, "run", "many", "--without-prefect"],
        "alembic": [python, "-m", "alembic", "upgrade", "head"],
    }
    if bench.dbmate:
        tools["dbmate"] = [bench.dbmate, "--migrations-dir", "dbmate", "--no-dump-schema", "up"]
    seen: dict[str, list[float]] = {}
    memory: list[float] = []
    for _ in range(rounds):
        for name, command in tools.items():
            url = bench.fresh()
            seconds, peak = bench.time([url if word == "$URL" else word for word in command], url)
            seen.setdefault(name, []).append(seconds)
            if name == "gonogo":
                memory.append(peak)
                seen.setdefault("gonogo, engine", []).append(bench.engine(url))
                seen.setdefault("gonogo status", []).append(bench.time([*gonogo, "status", "many", "--json"], url)[0])
                seen.setdefault("gonogo, nothing left", []).append(bench.time(command, url)[0])
    return report(count, seen, memory)


def report(count: int, seen: dict[str, list[float]], memory: list[float]) -> dict[str, float]:
    """Print the medians, and the median of each round's ratio to the loop."""
    loop = seen["psycopg loop"]
    print(f"\n{count:,} scripts, {len(loop)} rounds; gonogo's peak memory {max(memory):.0f} MB\n")
    print("| | s, median [min-max] | x the loop, median of rounds |\n|---|---|---|")
    for name, values in seen.items():
        ratio = statistics.median(value / base for value, base in zip(values, loop, strict=True))
        print(f"| {name} | {statistics.median(values):.2f} [{min(values):.2f}-{max(values):.2f}] | {ratio:.2f} |")
    return {name: statistics.median(values) for name, values in seen.items()}


def main(say: Callable[[str], None] = print) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--grow", action="store_true", help="also ten times as many, and the growth")
    given = parser.parse_args()
    small = measure(given.count, given.rounds)
    if given.grow:
        large = measure(given.count * 10, max(1, given.rounds // 2))
        say(f"\n{given.count * 10:,} scripts cost {large['gonogo'] / small['gonogo']:.1f} times what {given.count:,} cost")


if __name__ == "__main__":
    main()
