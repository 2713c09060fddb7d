"""A backfill keeps out of the application's way, people change its pace, and its undo takes back what nobody changed since."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.command import start
from support.desk import Desk
from support.servers import Server
from support.waiting import until

from gonogo import clock

Make = Callable[..., Path]
BOOK = """
runbook: book
targets: {db: {database: $TEST_URL}}
baseline: [same]
phases:
  - phase: one
    gate: {go_if: [ready]}
    tasks:
      - task: work
        steps:
          - {step: column, sql: column.sql, undo: column.undo.sql}
          - step: fill
            backfill: {table: orders, sql: fill.sql.j2%s}
            undo: {backfill: unfill.sql.j2}
%s
checks:
  ready: {query: SELECT 0, expect: "= 0"}
  same: {query: "SELECT count(*) FROM orders WHERE state IS NULL", expect: unchanged}
  may: {query: "SELECT count(*) FROM stop", expect: "= 0"}
"""
FILES = {
    "column__sql": "ALTER TABLE orders ADD COLUMN note text;\n",
    "column__undo__sql": "ALTER TABLE orders DROP COLUMN note;\n",
    "fill__sql__j2": "UPDATE orders SET state = 'new' WHERE {{ batch }} AND state IS NULL;\n",
    "unfill__sql__j2": "UPDATE orders SET state = NULL WHERE {{ batch }} AND {{ unchanged }};\n",
}
ROWS = 20_000
BEFORE = f"""
CREATE TABLE orders (id int PRIMARY KEY, state text, total int NOT NULL DEFAULT 0);
INSERT INTO orders SELECT g, CASE WHEN g % 7 = 0 THEN 'paid' END, g FROM generate_series(1, {ROWS}) g;
CREATE TABLE stop (id int);
ANALYZE orders;
"""
FILLED = "SELECT count(*) FROM orders WHERE state = 'new'"


def lay(make_project: Make, server: Server, pace: str = "", more: str = "", **files: str) -> Desk:
    url = server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(BEFORE.encode())
    return Desk(make_project(BOOK % (pace, more), **{**FILES, **files}), url)


def ask(desk: Desk, query: str) -> Any:
    with psycopg.connect(desk.url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def events(desk: Desk, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in desk("events", "book").stdout.splitlines()]
    return [line for line in lines if line["event"] == kind]


@contextmanager
def under_way(desk: Desk, *more: str) -> Iterator[Any]:
    """A run whose backfill has begun; it ends with the block."""
    run = start("run", "book", "--without-prefect", *more, cwd=desk.project, env=desk.env)
    try:
        until(lambda: ask(desk, "SELECT to_regclass('gonogo.event')"))
        until(lambda: ask(desk, "SELECT count(*) FROM gonogo.event WHERE kind IN ('batch done', 'backfill paced')"))
        yield run
    finally:
        run.kill()
        run.communicate(timeout=60)


def ended(run: Any) -> tuple[int, str]:
    output, _ = run.communicate(timeout=180)
    return run.returncode, output


def test_every_row_is_filled_and_taken_back_in_batches_but_for_those_that_somebody_changed_since(
    make_project: Make, any_server: Server
) -> None:
    desk = lay(make_project, any_server)
    done = desk("run", "book", "--without-prefect")
    assert done.returncode == 0, done.stdout
    expected = ROWS - ROWS // 7
    assert ask(desk, FILLED) == expected
    batches = events(desk, "batch done")
    assert sum(event["body"]["rows"] for event in batches) == ROWS
    assert len(batches) > ROWS // 1000, "it began with small ones"
    # the application changes some, and one of them twice
    with psycopg.connect(desk.url, autocommit=True) as connection:
        connection.execute("UPDATE orders SET state = 'sent' WHERE id IN (1, 5000, 19998)")
        connection.execute("UPDATE orders SET total = 0 WHERE id IN (2, 1)")
        connection.execute("DELETE FROM orders WHERE id = 3")

    back = desk("rollback", "book", "--without-prefect", "--reason", "as a try", "--accept-loss")
    # what the gate counted is not the same any more: the application changed rows, and that is told
    assert back.returncode in (11, 12), back.stdout
    assert ask(desk, "SELECT array_agg(id ORDER BY id) FROM orders WHERE state IN ('sent', 'new')") == [1, 2, 5000, 19998]
    assert ask(desk, "SELECT count(*) FROM orders WHERE state = 'paid'") == ROWS // 7
    undone = events(desk, "undo batch done")
    assert sum(event["body"]["rows"] for event in undone) == expected - 5
    assert [event["body"]["batch"] for event in undone] == [event["seq"] for event in reversed(batches)]


def test_rows_that_a_later_step_of_the_run_wrote_again_are_taken_back_too(make_project: Make, any_server: Server) -> None:
    files = {"later__sql": "UPDATE orders SET total = total + 1;\n", "later__undo__sql": "UPDATE orders SET total = total - 1;\n"}
    later = "          - {step: later, sql: later.sql, undo: later.undo.sql}"
    desk = lay(make_project, any_server, more=later, **files)
    assert desk("run", "book", "--without-prefect").returncode == 0
    with psycopg.connect(desk.url, autocommit=True) as connection:
        connection.execute("UPDATE orders SET state = 'sent' WHERE id = 1")
    back = desk("rollback", "book", "--without-prefect", "--reason", "as a try", "--accept-loss")
    assert back.returncode in (11, 12), back.stdout
    # the later step's undo writes the application's row, too: it is told apart no more, and was accepted
    assert ask(desk, "SELECT array_agg(id ORDER BY id) FROM orders WHERE state = 'new'") is None
    assert ask(desk, "SELECT sum(total) FROM orders") == ROWS * (ROWS + 1) // 2


def test_no_statement_of_an_undo_in_batches_changes_more_than_a_batch(make_project: Make, server: Server) -> None:
    desk = lay(make_project, server, ", batch: 500")
    assert desk("run", "book", "--without-prefect").returncode == 0
    back = desk("rollback", "book", "--without-prefect", "--reason", "as a try")
    assert back.returncode == 11, back.stdout
    assert max(event["body"]["rows"] for event in events(desk, "undo batch done")) <= 500
    assert ask(desk, FILLED) == 0


def test_an_undo_that_was_killed_goes_on_with_the_batch_before(make_project: Make, server: Server) -> None:
    desk = lay(make_project, server, ", batch: 500, pace: {mode: fixed, rest: 40ms}")
    assert desk("run", "book", "--without-prefect").returncode == 0
    back = start("rollback", "book", "--without-prefect", "--reason", "as a try", cwd=desk.project, env=desk.env)
    until(lambda: ask(desk, "SELECT count(*) > 5 FROM gonogo.event WHERE kind = 'undo batch done'"))
    back.kill()
    back.communicate(timeout=60)
    left = ask(desk, FILLED)
    assert 0 < left < ROWS - ROWS // 7
    resumed = desk("resume", "book", "--without-prefect", "--take-over")
    assert resumed.returncode == 11, resumed.stdout
    assert ask(desk, FILLED) == 0
    undone = [event["body"]["batch"] for event in events(desk, "undo batch done")]
    assert len(undone) == len(set(undone)) == len(events(desk, "batch done"))


def test_a_backfill_stops_while_a_check_says_so_and_goes_on_by_itself(make_project: Make, server: Server) -> None:
    desk = lay(make_project, server, ", pace: {goes_on_if: [may], every: 100ms}")
    with psycopg.connect(desk.url, autocommit=True) as connection:
        connection.execute("INSERT INTO stop VALUES (1)")
        with under_way(desk) as run:
            until(lambda: events(desk, "backfill paced"))
            status = json.loads(desk("status", "book", "--json").stdout)
            assert not status["held"]
            assert "may: 1 is not = 0" in desk("status", "book").stdout
            before = ask(desk, FILLED)
            clock.sleep(1)
            assert ask(desk, FILLED) == before
            connection.execute("DELETE FROM stop")
            code, output = ended(run)
    assert code == 0, output
    assert ask(desk, FILLED) == ROWS - ROWS // 7
    stopped, goes_on = (event["body"] for event in events(desk, "backfill paced"))
    assert (stopped["stopped"], goes_on["stopped"]) == (True, False)
    assert "stops: may: 1 is not = 0" in output


def test_a_backfill_stops_while_too_many_wait_for_locks(make_project: Make, any_server: Server) -> None:
    desk = lay(make_project, any_server, ", pace: {waiting: 1, every: 100ms, mode: fixed, rest: 200ms}")
    threads: list[threading.Thread] = []
    with psycopg.connect(desk.url) as holder, under_way(desk) as run:
        holder.execute("LOCK TABLE stop")
        for _ in range(2):
            threads.append(threading.Thread(target=_waits, args=(desk.url,), daemon=True))
            threads[-1].start()
        until(lambda: events(desk, "backfill paced"))
        assert "2 sessions wait for locks, more than 1" in desk("status", "book").stdout
        holder.commit()
        code, output = ended(run)
        assert code == 0, output
    for thread in threads:
        thread.join(30)


def _waits(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT count(*) FROM stop")


def test_people_pause_a_backfill_slow_it_down_and_let_it_go_on_and_the_run_is_not_held(
    make_project: Make, server: Server
) -> None:
    desk = lay(make_project, server, ", pace: {mode: fixed, rest: 100ms}, batch: 200")
    with under_way(desk) as run:
        paused = desk("pace", "book", "pause", "--reason", "the site feels slow")
        assert paused.returncode == 0, paused.stderr
        until(lambda: events(desk, "backfill paced"))
        before = ask(desk, FILLED)
        clock.sleep(1)
        assert ask(desk, FILLED) == before
        status = desk("status", "book")
        assert "paused it" in status.stdout
        assert not json.loads(desk("status", "book", "--json").stdout)["held"]
        assert desk("pace", "book", "go-on").returncode == 0
        assert desk("pace", "book", "1000000").returncode == 0
        assert desk("pace", "book", "faster").returncode == 0
        wrong = desk("pace", "book", "quickly")
        assert wrong.returncode == 2
        assert "slower, faster, pause, go-on, as-planned" in wrong.stderr
        code, output = ended(run)
    assert code == 0, output
    assert "says pause: the site feels slow" in output
    assert ask(desk, FILLED) == ROWS - ROWS // 7
    over = desk("pace", "book", "slower")
    assert over.returncode == 3
    assert "no backfill is under way" in over.stderr


def test_whoever_holds_the_run_does_not_wait_for_a_backfill_that_rests(make_project: Make, server: Server) -> None:
    desk = lay(make_project, server, ", pace: {mode: fixed, rest: 9s}, batch: 5000")
    with under_way(desk) as run:
        began = clock.monotonic()
        assert desk("hold", "book", "--reason", "lunch").returncode == 0
        code, output = ended(run)
        assert code == 4, output
        assert clock.monotonic() - began < 8, "the rest is nine seconds"


def test_the_pace_that_is_found_leaves_the_readers_be(make_project: Make, server: Server) -> None:
    # one that is told to let reads become not one percent slower does not go flat out while somebody reads
    desk = lay(make_project, server, ", batch: 200")
    done = desk("run", "book", "--without-prefect")
    assert done.returncode == 0, done.stdout
    told = [event["body"] for event in events(desk, "batch done")]
    assert all(body["idle"] and body["idle"] > 0 for body in told)
    assert any(body["read"] for body in told[-5:])
    report = json.loads(Path(desk("report", "book").stdout.splitlines()[2]).read_text())
    assert report["backfills"][0]["rows"] == ROWS


def test_dead_rows_are_vacuumed_between_two_batches_where_the_runbook_says_so(make_project: Make, server: Server) -> None:
    desk = lay(make_project, server, ", pace: {vacuum_at: 10%, every: 100ms, mode: fixed, rest: 120ms}")
    with psycopg.connect(desk.url, autocommit=True) as connection:
        connection.execute("ALTER TABLE orders SET (autovacuum_enabled = off)")
    done = desk("run", "book", "--without-prefect")
    assert done.returncode == 0, done.stdout
    assert ask(desk, "SELECT vacuum_count FROM pg_stat_all_tables WHERE relname = 'orders'") >= 1
    assert any(event["body"]["vacuumed"] for event in events(desk, "backfill paced"))


@pytest.mark.parametrize(
    ("files", "book", "says"),
    [
        ({"unfill__sql__j2": "UPDATE orders SET state = NULL WHERE {{ batch }};\n"}, "", "must say AND {{ unchanged }}"),
        ({"unfill__sql__j2": "UPDATE orders SET state = NULL WHERE {{ unchanged }};\n"}, "", "must say WHERE {{ batch }}"),
        (
            {"fill__sql__j2": "UPDATE orders SET state = 'x' WHERE {{ batch }} AND {{ unchanged }};\n"},
            "",
            "in the undo of a backfill only",
        ),
        ({}, ", pace: {mode: fixed}", "`rest` says how long it rests"),
        ({}, ", pace: {rest: 1s}", "it is for `mode: fixed`"),
        ({}, ", pace: {slows_others: much}", "is no share in percent"),
        ({}, ", pace: {goes_on_if: [nobody]}", "nobody"),
    ],
)
def test_what_a_backfill_cannot_go_by_is_refused_with_its_place(
    make_project: Make, server: Server, files: dict[str, str], book: str, says: str
) -> None:
    desk = lay(make_project, server, book, **files)
    done = desk("validate", "book")
    assert done.returncode == 2, done.stdout
    assert says in done.stdout + done.stderr
