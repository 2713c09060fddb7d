"""Exactly once, one runner, and no other database: each rule of the protocol, against a real server."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from support.cutting import Cut, cutting
from support.opened import Opened, open_run
from support.servers import Server, open_folder

from gonogo.core.engine.events import AllUndone, RollbackAsked, UndoDone, WorkDone
from gonogo.core.engine.state import Status
from gonogo.core.plan.plan import Identity, Script
from gonogo.errors import Fenced, Refused, RowsWritten, ScriptFailed, Unreachable
from gonogo.postgres.connection import Database, require_same
from gonogo.recovery import dump
from gonogo.recovery.manifest import BackupFailed
from gonogo.run import launch, non_transactional

STEPS = 12
STEP = "          - {{step: s{0}, sql: s{0}.sql, undo: nothing}}\n"
BOOK = """
runbook: book
targets: {main: {database: $TARGET_URL}}
phases:
  - phase: one
    tasks:
      - task: work
        steps:
"""


@pytest.fixture
def opened(any_server: Server, make_project: Callable[..., Path]) -> Callable[..., Opened]:
    def make(steps: str = STEP.format(1), **files: str) -> Opened:
        project = make_project(BOOK + steps, **(files or {"s1__sql": "SELECT 1"}))
        return open_run(any_server, project, "CREATE TABLE done (step int); CREATE TABLE item (id int)")

    return make


@pytest.fixture
def own_folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.mark.parametrize("how", ["before", "after", "while", "anyhow"])
def test_a_connection_that_is_cut_around_its_commit_leaves_each_step_done_once(
    opened: Callable[..., Opened], own_folder: Path, how: str
) -> None:
    names = range(1, STEPS + 1)
    # long enough that a backend nobody ended would commit after the ledger was asked
    files = {f"s{n}__sql": f"INSERT INTO done VALUES ({n}); SELECT pg_sleep(0.15);\n" for n in names}
    run = opened("".join(STEP.format(n) for n in names), **files)
    chance, turns, made = Random(STEPS), itertools.count(), list[Cut]()  # noqa: S311 - it is a test

    def choose(data: bytes) -> Cut:
        if b"gonogo.append(" not in data or b"COMMIT" not in data or next(turns) % 2:
            return ""
        cuts: list[Cut] = ["before", "after", "while"]
        made.append(chance.choice(cuts) if how == "anyhow" else cuts[["before", "after", "while"].index(how)])
        return made[-1]

    parts = conninfo_to_dict(run.database.url)
    with cutting(own_folder, Path(str(parts["host"])), choose) as proxy:
        runner = run.runner(Database(url=make_conninfo(run.database.url, host=str(proxy))))
        try:
            launch.go(runner, 1, launch.run_without_ui)
            assert runner.state.status is Status.DONE, runner.state.held
        finally:
            runner.close()

    assert run.rows("SELECT step, count(*) FROM done GROUP BY 1 ORDER BY 1") == [(n, 1) for n in names]
    told = "SELECT body->>'step', count(*) FROM gonogo.event WHERE kind = 'script done' GROUP BY 1"
    assert [count for _, count in run.rows(told)] == [1] * STEPS
    assert len(made) >= STEPS // 2, "it was cut many times"


def test_the_backend_that_a_lost_connection_left_is_ended_and_not_waited_for(
    opened: Callable[..., Opened], own_folder: Path
) -> None:
    # a minute for the backend that is left, however far it came; nothing for the one that comes after it
    script = (
        "SELECT pg_sleep(CASE WHEN pg_backend_pid() = pid THEN 60 ELSE 0 END) FROM left_behind; INSERT INTO done VALUES (1);\n"
    )
    run = opened(s1__sql=script)
    turns = itertools.count()

    def choose(data: bytes) -> Cut:
        return "while" if b"FROM left_behind" in data and next(turns) == 0 else ""

    with cutting(own_folder, Path(str(conninfo_to_dict(run.database.url)["host"])), choose) as proxy:
        runner = run.runner(Database(url=make_conninfo(run.database.url, host=str(proxy))))
        run.rows(f"CREATE TABLE left_behind AS SELECT {runner.session.connection.info.backend_pid} AS pid; SELECT 1")
        began = time.monotonic()
        try:
            launch.go(runner, 1, launch.run_without_ui)
            assert runner.state.status is Status.DONE, runner.state.held
        finally:
            runner.close()

    assert time.monotonic() - began < 50
    assert run.rows("SELECT count(*) FROM done") == [(1,)]


def test_a_runner_that_was_taken_over_from_commits_nothing_more(opened: Callable[..., Opened]) -> None:
    run = opened()
    first = run.runner()
    second = run.runner(take_over=True)
    try:
        assert second.session.epoch == first.session.epoch + 1
        step, script = first.plan.steps[0], first.plan.steps[0].scripts[0]
        for _ in range(2):
            with pytest.raises((Fenced, Unreachable)):
                first.session.run_script(step, script, WorkDone(), text="INSERT INTO done VALUES (1)")
        with pytest.raises(Fenced):
            first.session.reconnect()
        assert run.rows("SELECT * FROM done") == []
    finally:
        first.close()
        second.close()


def test_a_runner_whose_connection_lives_is_fenced_by_the_row_alone(opened: Callable[..., Opened]) -> None:
    run = opened()
    runner = run.runner()
    try:
        with psycopg.connect(run.database.url, autocommit=True) as connection:
            connection.execute("UPDATE gonogo.fence SET epoch = epoch + 1")
        step, script = runner.plan.steps[0], runner.plan.steps[0].scripts[0]
        with pytest.raises(Fenced):
            runner.session.run_script(step, script, WorkDone(), text="INSERT INTO done VALUES (1)")
        with pytest.raises(Fenced):
            runner.append(WorkDone())
        assert run.rows("SELECT * FROM done") == []
    finally:
        runner.close()


@pytest.mark.parametrize("text", ["INSERT INTO done VALUES (1); COMMIT; BEGIN", "INSERT INTO done VALUES (1); ROLLBACK; BEGIN"])
def test_a_script_that_ends_its_own_transaction_is_not_recorded_as_done(opened: Callable[..., Opened], text: str) -> None:
    run = opened()
    runner = run.runner()
    try:
        with pytest.raises(ScriptFailed, match="ended its own transaction"):
            runner.session.run_script(runner.plan.steps[0], runner.plan.steps[0].scripts[0], WorkDone(), text=text)
        assert ("work done",) not in run.rows("SELECT kind FROM gonogo.event")
    finally:
        runner.close()


def test_an_error_that_another_try_would_not_pass_is_not_tried_again(opened: Callable[..., Opened]) -> None:
    run = opened()
    runner = run.runner()
    try:
        with psycopg.connect(run.database.url, autocommit=True) as connection:
            connection.execute("CREATE SEQUENCE tries")
        step = runner.plan.steps[0]
        with pytest.raises(ScriptFailed, match="division by zero"):
            runner.session.run_script(step, step.scripts[0], WorkDone(), text="SELECT nextval('tries'); SELECT 1 / 0")
        assert run.rows("SELECT last_value, is_called FROM tries") == [(1, True)]
    finally:
        runner.close()


def test_an_undo_whose_journal_has_grown_since_it_was_counted_destroys_nothing(opened: Callable[..., Opened]) -> None:
    steps = "          - {step: made, sql: a.sql, undo: a.undo.sql, journal: SELECT count(*) FROM made}\n"
    run = opened(steps, a__sql="CREATE TABLE made (id int)", a__undo__sql="DROP TABLE made")
    runner = run.runner()
    try:
        launch.go(runner, 1, launch.run_without_ui)
        runner.append(RollbackAsked(why="a test"))
        with psycopg.connect(run.database.url, autocommit=True) as connection:
            connection.execute("INSERT INTO made VALUES (1)")
        script = (runner.plan.steps[0].undo or ())[0]
        with pytest.raises(RowsWritten):
            runner.target.undo(runner.state, 0, 0, script, UndoDone(step=0, last=True))
        assert run.rows("SELECT count(*) FROM made") == [(1,)]
        with pytest.raises(ScriptFailed):
            runner.session.run_script(runner.plan.steps[0], script, AllUndone(), text="SELECT 1 / 0")
    finally:
        runner.close()


def test_what_an_interrupted_reindex_left_is_dropped(opened: Callable[..., Opened]) -> None:
    run = opened()
    with psycopg.connect(run.database.url, autocommit=True) as connection:
        connection.execute("INSERT INTO item VALUES (1), (1); CREATE INDEX item_id ON item (id)")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("CREATE UNIQUE INDEX CONCURRENTLY item_id_ccnew ON item (id)")
    runner = run.runner()
    try:
        script = Script(source="x.sql", sha256="", transactional=False, act="reindex", object="item_id")
        assert non_transactional.probe(runner.session, script) is False
        assert run.rows("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid") == []
    finally:
        runner.close()


def test_a_backup_that_does_not_hold_what_is_there_is_not_proved(any_server: Server, tmp_path: Path) -> None:
    database = Database(url=any_server.database())
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item VALUES (1, 'a'), (2, 'b')")
        made = dump.take(database, tmp_path / "b", lambda _: None)
        dump.require_held(made, connection)
        for change in ("UPDATE item SET name = 'c' WHERE id = 1", "DELETE FROM item", "ALTER TABLE item ALTER name SET NOT NULL"):
            connection.execute(f"BEGIN; {change}".encode())
            with pytest.raises(BackupFailed):
                dump.require_held(made, connection)
            connection.execute("ROLLBACK")


@pytest.mark.parametrize("field", ["system_identifier", "database"])
def test_another_server_or_database_than_the_runs_is_refused(field: str) -> None:
    known = Identity(system_identifier="7", database="shop", version=180000)
    require_same(known, known)
    with pytest.raises(Refused):
        require_same(known.model_copy(update={field: "another"}), known)
