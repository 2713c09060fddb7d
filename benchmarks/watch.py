"""How often the watch trips falsely, how often it misses, how soon it sees, and what it costs; beside the naive rule.

    uv run python benchmarks/watch.py --seconds 60 --windows 10000 --live 20

One embedded PostgreSQL 18 with pgbench's tables and its traffic, whose load changes every few seconds. Calls of a query are
recorded with the yardstick beside them: as it is, and with planted regressions. The recordings are replayed through the judge
in windows: a baseline, and later a soak of samples. The live runs are whole runs of gonogo with a watch.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from gonogo import project
from gonogo.core.engine.verdict import Measurement, Verdict, judge, trips
from gonogo.core.model.threshold import parse_threshold
from gonogo.postgres import embedded

#: a query whose work is so many rounds; what is planted makes them more
QUERY = "SELECT count(*) FROM generate_series(1, {rounds}) g, (SELECT abalance FROM pgbench_accounts WHERE aid = 4711) AS a"
ROUNDS = 3000
SORTS = {"no regression": 1.0, "+20 %": 1.2, "+50 %": 1.5, "+100 %": 2.0}
RULE = parse_threshold("p50 > baseline + 50% in 3 of 5")
#: the calls of one sample (the default), the samples of a soak, and how many calls lie between two samples
CALLS, SOAK, GAP = 50, 24, 100

Pair = tuple[float, float]


@contextmanager
def noise(url: str, seconds: float) -> Iterator[None]:
    """Let pgbench work with a load that changes every few seconds, from nothing to more than the machine can do."""
    over = threading.Event()
    chance = random.Random(1)  # noqa: S311 - it is noise

    def load() -> None:
        until = time.monotonic() + seconds
        while not over.is_set() and time.monotonic() < until:
            clients = chance.choice((0, 0, 1, 1, 2, 4))
            if not clients:
                over.wait(2)
                continue
            command = [str(embedded.program("pgbench")), "--no-vacuum", f"--client={clients}", "--time=3", url]
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def record(url: str, seconds: float) -> dict[str, list[Pair]]:
    """Record calls of every sort in turn, a stretch of each at a time, so that all of them meet the same noise."""
    from checks.time import _WORK  # noqa: PLC0415 - the house must be on the path first

    found: dict[str, list[Pair]] = {sort: [] for sort in SORTS}
    with psycopg.connect(url, autocommit=True) as connection, noise(url, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for sort, times in SORTS.items():
                query = QUERY.format(rounds=round(ROUNDS * times)).encode()
                for _ in range(CALLS):
                    began = time.monotonic()
                    connection.execute(query).fetchone()
                    took = time.monotonic() - began
                    began = time.monotonic()
                    connection.execute(_WORK).fetchone()
                    found[sort].append((took * 1000, (time.monotonic() - began) * 1000))
    return found


def measured(pairs: Sequence[Pair]) -> Measurement:
    """Return what a check would have measured."""
    calls = sorted(took for took, _ in pairs)
    median = calls[max(0, -(-len(calls) // 2) - 1)]
    pace = statistics.median(pace for _, pace in pairs[::2])
    return Measurement(check="c", numbers={"p50": f"{median:.3f}"}, samples=tuple(calls), yardstick=pace)


Judge = Callable[[Sequence[Pair], Sequence[Pair]], bool]


def surely(now: Sequence[Pair], before: Sequence[Pair]) -> bool:
    """Judge as the watch does."""
    return judge(RULE, measured(now), measured(before), surely=True).verdict is Verdict.PASS


def naively(now: Sequence[Pair], before: Sequence[Pair]) -> bool:
    """Judge by one call and one comparison."""
    return now[0][0] > before[0][0] * 1.5


def detects(judges: Judge, before: Sequence[Pair], samples: Sequence[Sequence[Pair]], *, k_of_n: bool) -> int | None:
    """Return at which sample of a soak it trips, from 1; None where it does not."""
    breaches: list[bool] = []
    for number, sample in enumerate(samples, 1):
        breaches.append(judges(sample, before))
        if trips(RULE, breaches) if k_of_n else breaches[-1]:
            return number
    return None


def baseline(calls: Sequence[Pair], start: int) -> Sequence[Pair]:
    """Return what the gate would have kept: of five rounds the one with the least time of the yardstick."""
    places = [(start + n * 2 * GAP) % (len(calls) - CALLS) for n in range(5)]
    rounds = [calls[place : place + CALLS] for place in places]
    return min(rounds, key=lambda pairs: statistics.median(pace for _, pace in pairs))


def replay(recorded: dict[str, list[Pair]], windows: int) -> None:
    """Print the rates of trips, and the samples that they took."""
    chance = random.Random(2)  # noqa: S311 - windows
    good = recorded["no regression"]
    print(f"{'':16} {'gonogo trips':>14} {'median sample':>14} {'one sample, one comparison':>28}")
    for sort, calls in recorded.items():
        span = (CALLS + GAP) * SOAK
        ours, naive = [], 0
        for _ in range(windows):
            before = baseline(good, chance.randrange(len(good)))
            first = chance.randrange(max(1, len(calls) - span))
            places = [(first + n * (CALLS + GAP)) % (len(calls) - CALLS) for n in range(SOAK)]
            samples = [calls[place : place + CALLS] for place in places]
            ours.append(detects(surely, before, samples, k_of_n=True))
            naive += detects(naively, before, samples[:1], k_of_n=False) is not None
        tripped = [found for found in ours if found is not None]
        when = f"{statistics.median(tripped):g}" if tripped else "-"
        print(f"{sort:16} {len(tripped) / windows:>14.2%} {when:>14} {naive / windows:>28.2%}")


BOOK = """
runbook: book
targets: {{db: {{database: $TEST_URL}}}}
phases:
  - phase: one
    tasks: [{{task: work, steps: [{{sql: change.sql, undo: undo.sql}}]}}]
    watch: [latency]
    every: 250ms
    soak: 8s
checks:
  latency: {{time: q.sql, expect: "p50 <= 9 s", roll_back_if: "p50 > baseline + 50% in 3 of 5"}}
"""
FUNCTION = "CREATE OR REPLACE FUNCTION work() RETURNS bigint LANGUAGE sql AS $$ {query} $$;"


def live(server: str, runs: int) -> None:
    """Print how many of some whole runs tripped, and how long after the change."""
    for sort, times in SORTS.items():
        took: list[float] = []
        codes = []
        for number in range(runs):
            name = f"live_{number}_{round(times * 10)}"
            with psycopg.connect(server, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name} TEMPLATE noisy STRATEGY FILE_COPY".encode())
            url = server.replace("/postgres?", f"/{name}?")
            with tempfile.TemporaryDirectory() as folder:
                codes.append(one(Path(folder), url, times))
            if codes[-1] == 11:
                took.append(delay(url))
            with psycopg.connect(server, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
        when = f", {statistics.median(took):.1f} s after the change (longest {max(took):.1f} s)" if took else ""
        held = f", {codes.count(4)} held" if codes.count(4) else ""
        print(f"{sort:16} {codes.count(11)} of {runs} live runs tripped{held}{when}", flush=True)


def one(folder: Path, url: str, times: float) -> int:
    """Run once, beside traffic; return the exit code."""
    templates = folder / "sql_templates"
    (folder / "runbooks").mkdir()
    templates.mkdir()
    (folder / "runbooks/book.yaml").write_text(BOOK.format(), encoding="utf-8")
    (templates / "q.sql").write_text("SELECT work()\n", encoding="utf-8")
    was, is_ = (FUNCTION.format(query=QUERY.format(rounds=round(ROUNDS * n))) for n in (1, times))
    (templates / "change.sql").write_text(is_ + "\n", encoding="utf-8")
    (templates / "undo.sql").write_text(was + "\n", encoding="utf-8")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(was.encode())
    with noise(url, 30):
        done = subprocess.run(
            [str(Path(os.sys.executable)), "-m", "gonogo", "run", "book", "--without-prefect"],  # type: ignore[attr-defined]
            cwd=folder,
            env={**os.environ, "TEST_URL": url},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode not in (0, 4, 11):
        raise SystemExit(done.stdout + done.stderr)
    return done.returncode


def delay(url: str) -> float:
    """Return the seconds from the change to the trip."""
    query = (
        "SELECT extract(epoch FROM max(at) FILTER (WHERE kind = 'tripped') - min(at) FILTER (WHERE kind = 'script done'))"
        " FROM gonogo.event"
    )
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    return float(row[0]) if row else 0.0


def cost(server: str, seconds: int) -> None:
    """Print what a poll of the activity checks costs, and what a watch takes of pgbench's throughput."""
    from checks.kind import CheckEnvironment  # noqa: PLC0415 - the house must be on the path first
    from checks.measure import measure  # noqa: PLC0415 - the house must be on the path first
    from gonogo.core.model.check import Check  # noqa: PLC0415
    from gonogo.core.plan.plan import Plan, Script  # noqa: PLC0415
    from gonogo.postgres.connection import Database  # noqa: PLC0415

    url = server.replace("/postgres?", "/noisy?")
    kinds = ("connections", "blocked", "oldest_transaction", "long_queries", "dumps", "dead_rows")
    made = {kind: Check.model_validate({"activity": kind, "expect": "= 0"}) for kind in kinds}
    latency = Check.model_validate({"time": "q.sql", "expect": "p50 <= 9 s"})
    plan = Plan.model_construct(checks={**made, "latency": latency}, questions={"latency": Script(source="q", sha256="q")})
    environment = CheckEnvironment(texts={"q": QUERY.format(rounds=ROUNDS)})

    def pgbench() -> float:
        command = [str(embedded.program("pgbench")), "--no-vacuum", "--select-only", "--client=2", f"--time={seconds}", url]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = re.search(r"^tps = ([\d.]+)", said, re.MULTILINE)
        return float(found.group(1)) if found else 0.0

    with Database(url=url).connect("watch") as connection:
        polls = []
        for _ in range(50):
            began = time.monotonic()
            for kind in kinds:
                measure(plan, kind, environment, connection)
            polls.append((time.monotonic() - began) * 1000)
        print(f"one poll of {len(kinds)} activity checks: {statistics.median(polls):.1f} ms (longest {max(polls):.1f} ms)")

        over = threading.Event()

        def watch() -> None:
            while not over.wait(5):  # the default interval
                for kind in (*kinds, "latency"):
                    measure(plan, kind, environment, connection)

        ratios = []
        for number in range(6):
            alone, beside = 0.0, 0.0
            for watched in (False, True) if number % 2 else (True, False):
                if watched:
                    over.clear()
                    thread = threading.Thread(target=watch)
                    thread.start()
                    beside = pgbench()
                    over.set()
                    thread.join()
                else:
                    alone = pgbench()
            ratios.append(beside / alone)
        notes = ", ".join(f"{ratio:.3f}" for ratio in sorted(ratios))
        print(f"pgbench's throughput beside a watch, as a share of without: {statistics.median(ratios):.3f} ({notes})")


def main() -> None:
    """Measure, and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long calls are recorded")
    parser.add_argument("--windows", type=int, default=10_000, help="how many windows of each sort are replayed")
    parser.add_argument("--live", type=int, default=0, help="how many whole runs of each sort are watched")
    parser.add_argument("--cost", type=int, default=0, help="seconds of each round of pgbench beside a watch")
    chosen = parser.parse_args()
    project.prepend_import_root()
    folder = Path(tempfile.mkdtemp(prefix="gonogo-bench-"))
    folder.chmod(0o755)
    with embedded.running(folder / "pg") as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE noisy")
        noisy = url.replace("/postgres?", "/noisy?")
        subprocess.run([str(embedded.program("pgbench")), "-i", "-q", "-s", "2", noisy], check=True, capture_output=True)
        if chosen.cost:
            cost(url, chosen.cost)
        recorded = record(noisy, chosen.seconds)
        print({sort: len(calls) for sort, calls in recorded.items()}, "calls recorded")
        replay(recorded, chosen.windows)
        if chosen.live:
            live(url, chosen.live)


if __name__ == "__main__":
    main()
