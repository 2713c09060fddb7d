"""How far a run is, told while it works: rows of a backfill, and what PostgreSQL says of a statement that takes long."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.command import environment, gonogo, start
from support.servers import Server
from support.waiting import until

from gonogo.ledger import fence, store
from gonogo.postgres.connection import Database
from gonogo.postgres.progress import StatementProgress, statement_progress

Make = Callable[..., Path]
BOOK = """
runbook: book
targets: {db: {database: $TEST_URL}}
phases:
  - phase: fill
    tasks:
      - task: fill
        takes: 1m
        steps: [{backfill: {table: orders, sql: fill.sql.j2, batch: 100, pace: {mode: flat out}}, undo: nothing}]
"""
FILL = "UPDATE orders AS o SET total = 1 WHERE {{ batch_of('o') }};\n"
#: ten batches, each of which takes a moment
SLOW = FILL + "SELECT pg_sleep(0.4);\n"


def test_a_backfill_moves_on_while_it_works_and_says_when_it_ends_by_its_pace(
    make_project: Make, url: str, tmp_path: Path
) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders AS SELECT n AS id, 0 AS total FROM generate_series(1, 1000) AS n")
        connection.execute("ALTER TABLE orders ADD PRIMARY KEY (id)")
    make_project(BOOK, fill__sql__j2=SLOW)
    env = environment(TEST_URL=url)
    looks: list[dict[str, Any]] = []

    def look() -> float:
        said = gonogo("status", "book", "--json", cwd=tmp_path, env=env)
        if said.returncode:
            return 0.0
        looks.append(json.loads(said.stdout))
        return float(looks[-1]["done"])

    run = start("run", "book", "--without-prefect", cwd=tmp_path, env=env)
    try:
        until(lambda: 0.2 < look() < 1)
        until(lambda: look() > looks[0]["done"] + 0.2)
    finally:
        said, _ = run.communicate(timeout=60)
    assert run.returncode == 0, said
    shares = [one["done"] for one in looks]
    assert shares == sorted(shares)
    # its task was planned to take a minute, and the pace says seconds
    working = [one for one in looks if one["status"] == "working" and one["done"] > 0.2]
    assert working
    for one in working:
        (row,) = one["schedule"]
        assert row["state"] == "now"
        assert 0 < seconds_between(row["start"], row["end"]) < 30, row


def seconds_between(first: str, second: str) -> float:
    return (datetime.fromisoformat(second) - datetime.fromisoformat(first)).total_seconds()


@contextmanager
def held_by_a_run(url: str) -> Iterator[tuple[psycopg.Connection[Any], psycopg.Connection[Any]]]:
    """Yield the connection that holds the fence for a run, and another one that looks."""
    database = Database(url=url)
    with database.connect("gonogo/book-000000") as own, database.connect("gonogo/look") as other:
        store.create(own)
        fence.claim(own, "book-000000")
        own.commit()
        yield own, other


@contextmanager
def meanwhile(connection: psycopg.Connection[Any], statement: str) -> Iterator[None]:
    """Run a statement aside, and wait for its end."""

    def run() -> None:
        with suppress(psycopg.errors.QueryCanceled):
            connection.execute(statement.encode())

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(run)
        yield
        done.result(60)


def told(connection: psycopg.Connection[Any], wanted: Callable[[StatementProgress], bool]) -> StatementProgress:
    """Wait until what is told of the statement is as wanted, and return it."""
    seen: list[StatementProgress] = []

    def look() -> bool:
        found = statement_progress(connection, "book-000000")
        seen.extend([found] if found else [])
        return bool(found and wanted(found))

    until(look, 30)
    return seen[-1]


def test_an_index_that_is_built_says_which_part_of_it_is_under_way(any_server: Server) -> None:
    url = any_server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (id int)")
    with held_by_a_run(url) as (own, other), psycopg.connect(url) as writer:
        # an index without locks waits for those who write
        writer.execute("INSERT INTO orders VALUES (1)")
        with meanwhile(own, "CREATE INDEX CONCURRENTLY late ON public.orders (id)"):
            found = told(other, lambda found: bool(found.command))
            writer.commit()
    assert found.says.startswith("CREATE INDEX CONCURRENTLY: waiting for writers before build, for ")


def test_a_vacuum_or_a_copy_tells_how_much_of_it_is_done(any_server: Server) -> None:
    url = any_server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (id int, words text) WITH (autovacuum_enabled = off)")
        connection.execute("INSERT INTO orders SELECT n, repeat('x', 500) FROM generate_series(1, 20000) AS n")
    with held_by_a_run(url) as (own, other):
        own.execute("SET vacuum_cost_delay = '50ms'")
        own.execute("SET vacuum_cost_limit = 100")
        with meanwhile(own, "VACUUM public.orders"):
            found = told(other, lambda found: bool(found.share))
            own.cancel()
    assert found.command == "VACUUM"
    assert found.unit == "blocks"
    assert 0 < found.done <= found.total
    assert " % (" in found.says


def test_of_a_statement_that_postgresql_says_nothing_of_only_its_age_is_told(url: str) -> None:
    with held_by_a_run(url) as (own, other):
        assert statement_progress(other, "book-000000") is None
        with meanwhile(own, "SELECT pg_sleep(2.5)"):
            found = told(other, lambda _: True)
            assert statement_progress(other, "another-run") is None
    assert found.share is None
    assert found.says.startswith("a statement runs, for ")


def test_a_statement_of_less_than_a_second_is_not_worth_a_word(url: str) -> None:
    with held_by_a_run(url) as (own, other), meanwhile(own, "SELECT pg_sleep(0.7)"):
        time.sleep(0.2)
        assert statement_progress(other, "book-000000") is None


@pytest.mark.parametrize("analysed", [True, False])
def test_a_backfill_knows_about_how_many_rows_there_are_also_of_a_partitioned_table(
    make_project: Make, url: str, tmp_path: Path, analysed: bool
) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (id int PRIMARY KEY, total int) PARTITION BY RANGE (id)")
        for low in (0, 1000):
            connection.execute(f"CREATE TABLE orders_{low} PARTITION OF orders FOR VALUES FROM ({low}) TO ({low + 1000})")
        connection.execute("INSERT INTO orders SELECT n FROM generate_series(1, 1999) AS n")
        connection.execute("ANALYZE orders_0, orders_1000")
        if analysed:
            connection.execute("ANALYZE orders")
    make_project(BOOK, fill__sql__j2=FILL)
    env = environment(TEST_URL=url)
    assert gonogo("run", "book", "--without-prefect", cwd=tmp_path, env=env).returncode == 0
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT DISTINCT (body->>'of')::int FROM gonogo.event WHERE kind = 'batch done'").fetchall()
    assert found == [(1999,)]
