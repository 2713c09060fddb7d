"""The network between a runner and its target goes away for a while, and nobody is told: no packet comes, none is refused."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from support.command import environment, gonogo
from support.network import network
from support.servers import Server
from support.waiting import until

BOOK = """
runbook: book
title: A book
targets: {db: {database: $TEST_URL}}
backup: {waived: one small table}
rehearsal: {waived: one small table}
people: {lead: {name: Lead, roles: [lead]}}
phases:
  - phase: one
    gate: {go_if: [well], approve: {roles: [lead], quorum: 1, within: 30m}}
    tasks:
      - task: work
        steps: [{sql: one.sql, undo: one.undo.sql}, {sql: two.sql, undo: two.undo.sql}]
    verify: [well]
    watch: [well]
    soak: 50s
checks:
  well: {query: SELECT count(*) FROM done, expect: ">= 0", roll_back_if: "> 5"}
"""
FILES = {
    "one__sql": "INSERT INTO done VALUES (1); SELECT pg_sleep(8);",
    "one__undo__sql": "DELETE FROM done WHERE n = 1;",
    "two__sql": "INSERT INTO done VALUES (2);",
    "two__undo__sql": "DELETE FROM done WHERE n = 2;",
}
#: seconds without a network: longer than a connection lives that hears nothing
AWAY = 30
MOMENTS = {
    "a gate waits": "SELECT 1 FROM gonogo.event WHERE kind = 'people asked'",
    "a script runs": "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()",
    "the watch looks": "SELECT 1 FROM gonogo.event WHERE kind = 'verified'",
}


@pytest.mark.parametrize(
    "moment", [pytest.param(moment, marks=[] if moment == "a script runs" else pytest.mark.long) for moment in MOMENTS]
)
def test_a_run_goes_on_when_the_network_is_back_and_does_nothing_twice(
    server: Server, make_project: Callable[..., Path], moment: str
) -> None:
    outside = server.database()
    with psycopg.connect(outside, autocommit=True) as connection:
        connection.execute("CREATE TABLE done (n int)")
    book = BOOK if moment == "the watch looks" else BOOK.replace("soak: 50s", "soak: 4s")
    project, at = make_project(book, **FILES), urlsplit(outside)
    env = environment(TEST_URL=f"postgresql://postgres@127.0.0.1:5432{at.path}")
    with network(Path(parse_qs(at.query)["host"][0], ".s.PGSQL.5432")) as net:
        command = net.within(sys.executable, "-m", "gonogo", "run", "book", "--without-prefect")
        run = subprocess.Popen(command, cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            with psycopg.connect(outside, autocommit=True) as looking:
                for due, query in MOMENTS.items():
                    until(partial(come, run, looking, query))
                    assert run.poll() is None, run.communicate()[0]
                    if due == moment:
                        before = ask(looking, "SELECT pid FROM gonogo.fence")
                        net.switch(on=False)
                        time.sleep(AWAY)
                        net.switch(on=True)
                        # what it had is gone, and it came back by another
                        until(partial(come, run, looking, f"SELECT 1 FROM gonogo.fence WHERE pid IS DISTINCT FROM {before}"))
                        assert run.poll() is None, run.communicate()[0]
                    if due == "a gate waits":
                        said = gonogo("go", "book", "one", "--as", "lead", cwd=project, env={**env, "TEST_URL": outside})
                        assert said.returncode == 0, said.stderr
            told, _ = run.communicate(timeout=200)
        finally:
            run.kill()
            run.wait()

    assert run.returncode == 0, told
    assert "A book on db: done" in told
    assert "Traceback" not in told
    with psycopg.connect(outside) as connection:
        assert connection.execute("SELECT n FROM done ORDER BY n").fetchall() == [(1,), (2,)]
        query = "SELECT count(*) FROM gonogo.event WHERE kind = 'script done'"
        assert connection.execute(query).fetchone() == (2,)


def ask(connection: psycopg.Connection[tuple[object, ...]], query: str) -> object:
    """Return the one value that a query asks for."""
    row = connection.execute(query.encode()).fetchone()
    return row and row[0]


def come(run: subprocess.Popen[str], connection: psycopg.Connection[tuple[object, ...]], query: str) -> bool:
    """Say whether a moment has come, or never will; the ledger may not be there yet."""
    try:
        return run.poll() is not None or connection.execute(query.encode()).fetchone() is not None
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return False
