"""A script waits for its locks briefly and again, so that the application gets through, and people hear who is in the way."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.command import gonogo, start, status
from support.desk import Desk, lay
from support.servers import Server
from support.waiting import until

from gonogo import clock

Make = Callable[..., Path]
BOOK = """
runbook: book
targets: {db: {database: $TEST_URL}}
sql: {%s}
budgets: {downtime: 1h}
phases:
  - phase: one
    gate: {go_if: [quiet]}
    tasks:
      - task: work
        steps:
          - {step: first, sql: a.sql, undo: a.undo.sql}
checks:
  quiet: {sql: quiet.sql, expect: "= 0"}
"""
#: who waits for a lock, or queues behind somebody who does
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'item'::regclass"


@contextmanager
def holding(url: str, *, name: str = "nightly report", busy: bool = False) -> Iterator[psycopg.Connection]:
    """Somebody read the table and does not end the transaction; or is still reading."""
    with psycopg.connect(url, application_name=name) as connection:
        connection.execute("SELECT count(*) FROM item")
        thread = threading.Thread(target=_sleep, args=(connection,), daemon=True)
        if busy:
            thread.start()
        yield connection
        if busy:
            connection.cancel()
            thread.join(30)


def _sleep(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.QueryCanceled):
        connection.execute("SELECT pg_sleep(300)")


def reading(url: str, over: threading.Event, longest: list[float]) -> None:
    """The application: one read after the other, each of which may queue behind the script."""
    with psycopg.connect(url, autocommit=True) as connection:
        while not over.is_set():
            began = clock.monotonic()
            connection.execute("SELECT name FROM item WHERE id = 7")
            longest[0] = max(longest[0], clock.monotonic() - began)
            clock.sleep(0.005)


def facts(desk: Desk, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in desk("events", "book").stdout.splitlines()]
    return [line["body"] for line in lines if line["event"] == kind]


def begin(desk: Desk) -> Any:
    return start("run", "book", "--without-prefect", cwd=desk.project, env=desk.env)


def ended(process: Any) -> tuple[int, str]:
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


def test_while_a_script_waits_the_application_gets_through_and_what_it_lost_is_downtime(
    make_project: Make, any_server: Server
) -> None:
    desk = lay(make_project, any_server, BOOK % "statement_timeout: 10m")
    over, longest = threading.Event(), [0.0]
    application = threading.Thread(target=reading, args=(desk.url, over, longest), daemon=True)
    with holding(desk.url):
        application.start()
        run = begin(desk)
        said = ""
        while "in the way: backend" not in said:
            said += run.stdout.readline() + "\n"
        # a second try gives up too
        while said.count("waits for a lock, in the way") < 2:
            said += run.stdout.readline() + "\n"
    code, output = ended(run)
    over.set()
    application.join(30)

    assert code == 0, said + output
    assert "nightly report" in said
    # the transaction in the way lasted for seconds; nobody who queued behind the script did for anything like that
    assert longest[0] < 1.5
    (done,) = facts(desk, "script done")
    assert 0 < done["others_waited"] < 2
    assert json.loads(desk("status", "book", "--json").stdout)["budgets"]["downtime"]["used"] >= done["others_waited"]
    report = Path(desk("report", "book").stdout.splitlines()[0]).read_text()
    assert re.search(r"ACCESS EXCLUSIVE on item \| [\d.]+\w+ \| [\d.]+\w+ \|", report), report


def test_whoever_holds_the_run_does_not_wait_for_the_lock(make_project: Make, server: Server) -> None:
    desk = lay(make_project, server, BOOK % "lock_patience: 1h")
    with holding(desk.url):
        run = begin(desk)
        until(lambda: "in the way" in run.stdout.readline())
        assert desk("hold", "book", "--reason", "not now").returncode == 0
        code, output = ended(run)
        assert code == 4, output
        with psycopg.connect(desk.url) as connection:
            assert connection.execute(WAITING.encode()).fetchone() == (0,)
    assert status("book", desk.project, desk.env)["held"]
    assert desk("resume", "book", "--without-prefect").returncode == 0


def test_when_its_patience_is_over_the_step_fails_and_names_who_was_in_the_way(make_project: Make, server: Server) -> None:
    desk = lay(make_project, server, BOOK % "lock_patience: 1s")
    with holding(desk.url):
        done = desk("run", "book", "--without-prefect")
    assert done.returncode == 11, done.stdout + done.stderr
    assert "55P03" in done.stdout + done.stderr
    assert "blocked by backend" in done.stdout + done.stderr
    assert "nightly report" in done.stdout + done.stderr


def test_the_run_holds_for_those_in_the_way_where_the_runbook_says_so(make_project: Make, server: Server) -> None:
    desk = lay(make_project, server, BOOK % "ask_blockers: {after: 500ms, then: hold}")
    with holding(desk.url):
        done = desk("run", "book", "--without-prefect")
        assert done.returncode == 4, done.stdout + done.stderr
        assert "first has waited" in done.stdout
        assert "nightly report" in done.stdout
    assert desk("resume", "book", "--without-prefect").returncode == 0


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_only_who_is_idle_in_a_transaction_is_ended_and_that_is_recorded(
    make_project: Make, any_server: Server, *, busy: bool
) -> None:
    desk = lay(make_project, any_server, BOOK % "lock_patience: 4s, ask_blockers: {after: 300ms, then: terminate idle}")
    with psycopg.connect(desk.url, application_name="innocent") as innocent:
        innocent.execute("SELECT count(*) FROM sale")
        with holding(desk.url, busy=busy) as reader:
            done = desk("run", "book", "--without-prefect")
            if busy:
                assert done.returncode == 11, done.stdout + done.stderr
                assert not reader.closed
            else:
                assert done.returncode == 0, done.stdout + done.stderr
                with pytest.raises(psycopg.OperationalError):
                    reader.execute("SELECT 1")
        assert innocent.execute("SELECT count(*) FROM sale").fetchone() == (500,)
    if not busy:
        (fact,) = facts(desk, "script done")
        assert len(fact["ended"]) == 1
        assert "nightly report" in fact["ended"][0]


def test_a_role_that_may_end_nobody_says_what_it_lacks(make_project: Make, server: Server) -> None:
    desk = lay(make_project, server, BOOK % "lock_patience: 2s, ask_blockers: {after: 300ms, then: terminate idle}")
    with psycopg.connect(desk.url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(
            f"CREATE ROLE weak_{name} LOGIN; GRANT ALL ON DATABASE {name} TO weak_{name}; ALTER TABLE item OWNER TO weak_{name};"
            f"GRANT ALL ON SCHEMA public TO weak_{name}".encode()
        )
    desk.env["TEST_URL"] = desk.url.replace("postgres@", f"weak_{name}@").replace("postgres:@", f"weak_{name}:@")
    try:
        with holding(desk.url):
            done = desk("run", "book", "--without-prefect")
            assert done.returncode == 11, done.stdout + done.stderr
            assert "GRANT pg_signal_backend, pg_read_all_stats TO weak_" in done.stdout, done.stdout
    finally:
        server.forget(desk.url, f"weak_{name}")


def test_a_statement_behind_which_nobody_queues_waits_in_one_piece(make_project: Make, server: Server) -> None:
    # CREATE INDEX CONCURRENTLY waits for transactions that began before it: a try that gave up would begin again
    files = {
        "a__sql": "CREATE INDEX CONCURRENTLY item_price ON item (price);\n",
        "a__undo__sql": "DROP INDEX CONCURRENTLY item_price;\n",
    }
    desk = lay(make_project, server, BOOK % "statement_timeout: 10m", **files)
    building = "SELECT pid FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting for%'"
    with psycopg.connect(desk.url) as writer:
        writer.execute("UPDATE item SET price = 2 WHERE id = 1")
        run = begin(desk)
        with psycopg.connect(desk.url, autocommit=True) as connection:
            first = until(lambda: connection.execute(building.encode()).fetchone())
            # longer than any wait for a lock that others queue behind
            clock.sleep(2.5)
            assert connection.execute(building.encode()).fetchone() == first
    code, output = ended(run)
    assert code == 0, output
    assert "tried again" not in output


def test_a_runbook_with_attempts_goes_by_that_number_as_before(make_project: Make, server: Server) -> None:
    desk = lay(make_project, server, BOOK % "lock_timeout: 100ms, attempts: 3")
    with holding(desk.url):
        done = gonogo("run", "book", "--without-prefect", cwd=desk.project, env=desk.env)
    assert done.returncode == 11, done.stdout + done.stderr
    assert (done.stdout + done.stderr).count("tried again") == 2
    assert "2 of 3" in done.stdout + done.stderr


def test_a_connection_that_is_lost_while_a_script_rests_is_made_again(make_project: Make, any_server: Server) -> None:
    desk = lay(make_project, any_server, BOOK % "lock_patience: 1h")
    runner = (
        "FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'gonogo/book-%/%' AND application_name NOT LIKE 'gonogo/book-%/%/%'"
    )
    with holding(desk.url), psycopg.connect(desk.url, autocommit=True) as connection:
        run = begin(desk)
        until(lambda: "in the way" in run.stdout.readline())
        (before,) = connection.execute(f"SELECT pid {runner}".encode()).fetchall()
        assert connection.execute(f"SELECT pg_terminate_backend(pid) {runner}".encode()).fetchall() == [(True,)]
        # it makes another one, and waits again
        until(lambda: connection.execute(f"SELECT pid {runner}".encode()).fetchall() not in ([], [before]))
        until(lambda: "in the way" in run.stdout.readline())
    code, output = ended(run)
    assert code == 0, output
    assert len(facts(desk, "script done")) == 1
