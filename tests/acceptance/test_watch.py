"""What the watch sees leads to the end that the runbook states, and people hear of it in the right words."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest
from support.command import environment, gonogo

Make = Callable[..., Path]
BOOK = """
runbook: book
targets: {{db: {{database: $TEST_URL}}}}
{more}
phases:
  - phase: one
    tasks: [{{task: work, steps: [{{step: change, sql: change.sql, {undo}}}]}}]
    watch: [{watch}]
    every: 100ms
    soak: {soak}
    {phase}
checks:
  seen: {seen}
"""
BEFORE = """
CREATE TABLE item AS SELECT g AS id, repeat('x', 200) AS pad FROM generate_series(1, 20000) g;
CREATE INDEX item_id ON item (id);
CREATE TABLE call (ok bool, at timestamptz DEFAULT now());
INSERT INTO call SELECT true FROM generate_series(1, 100);
CREATE TABLE metric (value float8);
INSERT INTO metric VALUES (1);
CREATE FUNCTION priced() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM generate_series(1, 100)';
"""
RECREATE = "CREATE INDEX item_id ON item (id);\n"
SLOW = "CREATE OR REPLACE FUNCTION priced() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM generate_series(1, 200000)';\n"
QUICK = "CREATE OR REPLACE FUNCTION priced() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM generate_series(1, 100)';\n"
FAILS = "INSERT INTO call SELECT false FROM generate_series(1, 20);\n"
SHARE = "SELECT count(*) FILTER (WHERE NOT ok)::numeric / count(*), count(*) FROM call"


class Desk:
    """A project with one change and one thing that is watched."""

    def __init__(self, make: Make, url: str) -> None:
        self.make, self.url = make, url
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(BEFORE)
            connection.execute("VACUUM ANALYZE")

    def run(
        self,
        seen: str,
        change: str = "SELECT 1;\n",
        undo: str = "",
        *,
        phase: str = "",
        more: str = "",
        no_return: bool = False,
        watch: str = "seen",
        soak: str = "4s",
    ) -> CompletedProcess[str]:
        way = "no_return: true" if no_return else "undo: undo.sql"
        book = BOOK.format(seen=seen, undo=way, phase=phase, more=more, watch=watch, soak=soak)
        files = {"change__sql": change, "undo__sql": undo or "SELECT 1;\n", "q__sql": "SELECT * FROM item WHERE id = 777\n"}
        self.project = self.make(book, **files)
        return self("run", "book", "--without-prefect")

    def __call__(self, *command: str) -> CompletedProcess[str]:
        return gonogo(*command, cwd=self.project, env=environment(TEST_URL=self.url))


@pytest.fixture
def desk(make_project: Make, url: str) -> Desk:
    return Desk(make_project, url)


def update(done: CompletedProcess[str]) -> str:
    """What the story of a run says: each thing once."""
    return done.stdout


def test_a_dropped_index_trips_by_the_buffers_alone_and_is_there_again(desk: Desk) -> None:
    done = desk.run(
        '{buffers: q.sql, expect: "<= baseline + 20%", roll_back_if: "> baseline + 100%"}', "DROP INDEX item_id;\n", RECREATE
    )
    assert done.returncode == 11, done.stdout + done.stderr
    assert re.search(r"TRIPPED: seen: \d+ is > \d+ \(baseline \d+\) \(plan: Seq Scan on item\)", update(done))


def test_a_function_that_has_become_slow_trips_surely(desk: Desk) -> None:
    seen = '{time: p.sql, samples: 20, expect: "p50 <= 9 s", roll_back_if: "p50 > baseline + 50% in 2 of 3"}'
    desk.make(
        BOOK.format(seen=seen, undo="undo: undo.sql", phase="", more="", watch="seen", soak="4s"), p__sql="SELECT priced()\n"
    )
    done = desk.run(seen, SLOW, QUICK)
    assert done.returncode == 11, done.stdout + done.stderr
    assert re.search(r"TRIPPED: seen: p50 [\d.]+ ms is > [\d.]+ ms \(baseline [\d.]+ ms\), 2 of 3 samples", update(done))


def test_a_lock_that_a_bystander_holds_is_told_with_who_blocks_whom(desk: Desk) -> None:
    seen = '{activity: blocked, then: hold, expect: "= 0", roll_back_if: "> 0 in 2 of 3"}'
    with ExitStack() as stack:
        blocker = stack.enter_context(psycopg.connect(desk.url))
        blocker.execute("LOCK TABLE call IN EXCLUSIVE MODE")
        pid = blocker.info.backend_pid
        waiter = stack.enter_context(psycopg.connect(desk.url))
        waiter.pgconn.send_query(b"DELETE FROM call")
        done = desk.run(seen)
        waiter.pgconn.finish()
    assert done.returncode == 4, done.stdout + done.stderr
    assert f"blocked by {pid}: DELETE FROM call" in update(done)


def test_a_share_of_errors_that_grows_trips_when_it_rests_on_enough_calls(desk: Desk) -> None:
    seen = f'{{query: "{SHARE}", at_least: 50 calls, expect: "= 0", roll_back_if: "> 10% in 2 of 3"}}'
    done = desk.run(seen, FAILS, "DELETE FROM call WHERE NOT ok;\n")
    assert done.returncode == 11, done.stdout + done.stderr
    assert "TRIPPED: seen: 0.167 is > 0.1, 2 of 3 samples" in update(done)


def test_a_broken_metric_is_no_number_and_holds(desk: Desk) -> None:
    seen = '{query: SELECT value FROM metric, expect: "< 5", roll_back_if: "> 5 in 2 of 3"}'
    done = desk.run(seen, "UPDATE metric SET value = 'NaN';\n", "UPDATE metric SET value = 1;\n")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "seen gives no data: no finite number for value: nan" in update(done)


@pytest.mark.parametrize(("no_data", "code"), [("roll back", 11), ("ignore", 0), ("hold", 4)])
def test_a_metric_that_goes_missing_leads_where_no_data_says(desk: Desk, no_data: str, code: int) -> None:
    seen = f'{{query: SELECT value FROM metric, expect: "< 5", no_data: {no_data}, roll_back_if: "> 5 in 2 of 3"}}'
    done = desk.run(seen, "DELETE FROM metric;\n", "INSERT INTO metric VALUES (1);\n")
    assert done.returncode == code, done.stdout + done.stderr
    assert ("seen gives no data: the query answered no row" in update(done)) is (no_data != "ignore")


LATER = '{query: SELECT count(*) FROM later, expect: "< 5", roll_back_if: "> 5 in 2 of 3"}'


def test_what_a_step_is_still_to_make_is_not_missed_until_the_steps_are_done(desk: Desk) -> None:
    change = "SELECT pg_sleep(2);\nCREATE TABLE later (id int);\n"
    done = desk.run(LATER, change, "DROP TABLE later;\n", soak="1s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gives no data" not in update(done)


def test_a_check_that_never_answered_holds_the_phase_however_short_its_soak_is(desk: Desk) -> None:
    done = desk.run(LATER, "SELECT pg_sleep(1);\n", soak="0s")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "seen gives no data: could not ask" in update(done)


def test_what_was_there_before_and_is_gone_is_missed_at_once(desk: Desk) -> None:
    with psycopg.connect(desk.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE later (id int)")
    done = desk.run(
        LATER, "SELECT pg_sleep(1);\nALTER TABLE later RENAME TO gone;\n", "ALTER TABLE gone RENAME TO later;\n", soak="3s"
    )
    assert done.returncode == 4, done.stdout + done.stderr
    assert "seen gives no data: could not ask" in update(done)


@pytest.mark.parametrize(("then", "phase"), [("tell", ""), ("roll back", "would_trip: true")])
def test_what_is_only_to_be_told_is_told_once_and_nothing_is_rolled_back(desk: Desk, then: str, phase: str) -> None:
    seen = f'{{query: "{SHARE}", then: {then}, expect: "= 0", roll_back_if: "> 10% in 2 of 3"}}'
    done = desk.run(seen, FAILS, phase=phase)
    assert done.returncode == 0, done.stdout + done.stderr
    assert update(done).count("WOULD TRIP: seen: 0.167 is > 0.1") == 1
    assert ("this would roll back" in update(done)) is bool(phase)


def test_a_check_that_cannot_be_asked_does_not_end_the_watch_in_silence(desk: Desk) -> None:
    done = desk.run("{own: broken, expect: '= 1', no_data: hold, roll_back_if: '> 5'}")
    assert done.returncode == 2, "an own check needs its file"
    (desk.project / "checks").mkdir()
    text = "from checks.own import check\n\n\n@check('broken')\ndef broken(ask):\n    raise RuntimeError('no network')\n"
    (desk.project / "checks/broken.py").write_text(text, encoding="utf-8")
    done = desk.run("{own: broken, expect: '= 1', no_data: hold, roll_back_if: '> 5'}")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "seen gives no data: could not ask: RuntimeError: no network" in update(done)


def test_of_several_that_trip_at_once_what_rolls_back_comes_first(desk: Desk) -> None:
    soft = f'{{query: "{SHARE}", then: hold, expect: "= 0", roll_back_if: "> 10%"}}'
    hard = f'  hard: {{query: "{SHARE}", expect: "= 0", roll_back_if: "> 10%"}}'
    done = desk.run(
        f"{soft}\n{hard}", FAILS, "DELETE FROM call WHERE NOT ok;\n", phase="on_failure: roll back", watch="seen, hard"
    )
    assert done.returncode == 11, done.stdout + done.stderr


def test_a_sample_that_takes_longer_than_the_soak_is_waited_for_and_judged(desk: Desk) -> None:
    slow = SHARE.replace(" FROM call", " FROM call, pg_sleep(3)")
    seen = f'{{query: "{slow}", within: 20s, expect: "= 0", roll_back_if: "> 10%"}}'
    done = desk.run(seen, FAILS, "DELETE FROM call WHERE NOT ok;\n", soak="200ms")
    assert done.returncode == 11, done.stdout + done.stderr


def test_a_slow_answer_of_one_check_does_not_delay_the_trip_of_another(desk: Desk) -> None:
    slow = "  slow: {query: 'SELECT 0 FROM pg_sleep(15)', within: 30s, expect: '= 0', roll_back_if: '> 0'}"
    seen = f'{{query: "{SHARE}", expect: "= 0", roll_back_if: "> 10% in 2 of 3"}}\n{slow}'

    done = desk.run(seen, FAILS, "DELETE FROM call WHERE NOT ok;\n", watch="slow, seen", soak="40s")

    assert done.returncode == 11, done.stdout + done.stderr
    with psycopg.connect(desk.url, autocommit=True) as connection:
        took = connection.execute(
            "SELECT extract(epoch FROM max(at) FILTER (WHERE kind = 'tripped') - max(at) FILTER (WHERE kind = 'verified'))"
            " FROM gonogo.event"
        ).fetchone()
    assert took is not None
    assert took[0] < 14, "the slow one had not even answered"


def test_a_trip_ends_a_backfill_between_its_batches_and_undoes_what_they_did(desk: Desk) -> None:
    seen = '{query: "SELECT count(*) FROM item WHERE pad IS NULL", expect: "= 0", roll_back_if: "> 0 in 2 of 2"}'
    book = BOOK.replace("sql: change.sql", "backfill: {{table: item, sql: change.sql.j2, batch: 100}}")
    files = {
        "change__sql__j2": "UPDATE item SET pad = NULL FROM pg_sleep(0.05) WHERE {{ batch_of('item') }}\n",
        "undo__sql": "UPDATE item SET pad = repeat('x', 200) WHERE pad IS NULL;\n",
    }
    with psycopg.connect(desk.url, autocommit=True) as connection:
        connection.execute("ALTER TABLE item ADD PRIMARY KEY (id)")
    text = book.format(seen=seen, undo="undo: undo.sql", phase="", more="", watch="seen", soak="4s")
    desk.project = desk.make(text, **files)
    done = desk("run", "book", "--without-prefect")
    assert done.returncode == 11, done.stdout + done.stderr
    assert "TRIPPED: seen:" in update(done)
    with psycopg.connect(desk.url) as connection:
        assert connection.execute("SELECT count(*) FROM item WHERE pad IS NULL").fetchone() == (0,)
        batches = connection.execute("SELECT count(*) FROM gonogo.event WHERE kind = 'batch done'").fetchone()
    assert batches is not None
    assert 0 < batches[0] < 150, "it did not go to its end, which is 200 batches"


def test_a_phase_is_not_done_while_its_newest_sample_is_a_breach_that_may_be_one_of_several(desk: Desk) -> None:
    slow = SHARE.replace(" FROM call", " FROM call, pg_sleep(0.7)")
    seen = f'{{query: "{slow}", within: 20s, expect: "= 0", roll_back_if: "> 10% in 3 of 5"}}'
    done = desk.run(seen, FAILS, "DELETE FROM call WHERE NOT ok;\n", soak="1s")
    assert done.returncode == 11, done.stdout + done.stderr
    assert "3 of 5 samples" in update(done)


def test_past_the_point_of_no_return_a_trip_holds_and_only_a_restore_leads_back(desk: Desk) -> None:
    seen = f'{{query: "{SHARE}", expect: "= 0", roll_back_if: "> 10% in 2 of 3"}}'
    more = "backup: {}\nrollback: {levels: [undo, restore]}"
    done = desk.run(seen, FAILS, more=more, no_return=True)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "the point of no return (work.change) is passed, so nothing rolls back automatically" in update(done)
    assert "point of no return" in desk("plan", "book").stdout

    refused = desk("rollback", "book", "--without-prefect")
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert "go forward with `gonogo resume book --target db`; --level restore puts the backup back" in refused.stderr
    back = desk("rollback", "book", "--without-prefect", "--level", "restore", "--accept-loss")
    assert back.returncode == 11, back.stdout + back.stderr
    with psycopg.connect(desk.url) as connection:
        assert connection.execute("SELECT count(*) FROM call").fetchone() == (100,)
