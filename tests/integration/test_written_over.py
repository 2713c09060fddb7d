"""What the application wrote is asked for before it goes, also where a later step of the run wrote it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from support.opened import Opened, open_run
from support.servers import Server

from gonogo.core.engine.events import LossCounted, RollbackAsked
from gonogo.core.engine.state import Status
from gonogo.run import launch

BOOK = """
runbook: book
targets: {main: {database: $TARGET_URL}}
phases:
  - phase: one
    tasks: [{task: first, steps: [{step: first, sql: a.sql, undo: a.undo.sql}]}]
  - phase: two
    tasks: [{task: second, steps: [{step: second, SECOND, undo: UNDO}]}]
"""
BY_SQL = "sql: b.sql"
BY_BATCHES = "backfill: {table: item, sql: b.sql.j2, batch: 20}"
BEFORE = """
CREATE TABLE item (id int PRIMARY KEY, name text NOT NULL, price numeric NOT NULL DEFAULT 1);
INSERT INTO item SELECT g, 'item ' || g, g FROM generate_series(1, 100) g;
CREATE TABLE plain (name text, price int);
INSERT INTO plain SELECT 'plain ' || g, g FROM generate_series(1, 100) g;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE DOMAIN feeling AS mood;
CREATE TABLE felt (id feeling PRIMARY KEY, price int);
INSERT INTO felt VALUES ('bad', 1);
CREATE VIEW seen AS SELECT id, name FROM item;
CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN UPDATE item SET price = price + 1 WHERE id = 7; RETURN NEW; END';
CREATE TRIGGER follow AFTER UPDATE ON plain FOR EACH ROW WHEN (NEW.price = 51) EXECUTE FUNCTION follow();
CREATE TABLE parent (id int PRIMARY KEY, name text) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF parent FOR VALUES FROM (0) TO (1000);
INSERT INTO parent SELECT g, 'row ' || g FROM generate_series(1, 100) g;
"""
COLOUR = ("ALTER TABLE item ADD COLUMN colour text", "ALTER TABLE item DROP COLUMN colour")
#: the new version of the application, and the old one that does not know of the column
NEW = "INSERT INTO item (id, name, colour) VALUES (101, 'new', 'red'); UPDATE item SET colour = 'blue' WHERE id = 7"
OLD = "INSERT INTO item (id, name) VALUES (101, 'new'), (102, 'newer'); UPDATE item SET name = 'other' WHERE id = 7"
DEARER, CHEAPER = "UPDATE item SET price = price + 1", "UPDATE item SET price = price - 1"


class Case(NamedTuple):
    """Two steps with their undos, what the application writes between them, and what rolling both back destroys of it."""

    first: tuple[str, str]
    wrote: str
    second: tuple[str, str]
    lost: Mapping[str, int]
    how: str = BY_SQL


CASES = {
    "an update": Case(COLOUR, NEW, (DEARER, CHEAPER), {"item": 2}),
    "an update of what the application did not write": Case(COLOUR, OLD, (DEARER, CHEAPER), {}),
    "an update that fills the new column": Case(
        COLOUR, OLD, ("UPDATE item SET colour = 'none' WHERE colour IS NULL", "UPDATE item SET colour = NULL"), {}
    ),
    "a fill that nothing undoes but the column's own end": Case(
        COLOUR, OLD, ("UPDATE item SET colour = 'none' WHERE colour IS NULL", "SELECT 1"), {}
    ),
    "batches": Case(
        COLOUR,
        NEW,
        ("UPDATE item i SET price = price + 1 WHERE {{ batch_of('i') }}", CHEAPER),
        {"item": 2},
        BY_BATCHES,
    ),
    "batches that fill the new column": Case(
        COLOUR,
        OLD,
        ("UPDATE item i SET colour = 'none' WHERE {{ batch_of('i') }} AND colour IS NULL", "UPDATE item SET colour = NULL"),
        {},
        BY_BATCHES,
    ),
    "a change of type": Case(
        COLOUR,
        NEW,
        ("ALTER TABLE item ALTER price TYPE numeric(12, 4)", "ALTER TABLE item ALTER price TYPE numeric"),
        {"item": 2},
    ),
    "a block of code": Case(COLOUR, NEW, (f"DO $$ BEGIN {DEARER}; END $$", CHEAPER), {"item": 2}),
    "a block of code that fills the new column": Case(
        COLOUR, OLD, ("DO $$ BEGIN UPDATE item SET colour = 'none'; END $$", "UPDATE item SET colour = NULL"), {}
    ),
    "an upsert": Case(
        COLOUR,
        NEW,
        (
            "INSERT INTO item (id, name) VALUES (101, 'again') ON CONFLICT (id) DO UPDATE SET name = excluded.name",
            "UPDATE item SET name = 'new' WHERE id = 101",
        ),
        {"item": 2},
    ),
    "a statement in a WITH": Case(
        COLOUR, NEW, (f"WITH x AS ({DEARER} RETURNING id) SELECT count(*) FROM x", CHEAPER), {"item": 2}
    ),
    "a new table": Case(
        ("CREATE TABLE extra (id int PRIMARY KEY, name text)", "DROP TABLE extra"),
        "INSERT INTO extra VALUES (1, 'one'), (2, 'two')",
        ("UPDATE extra SET name = upper(name)", "SELECT 1"),
        {"extra": 2},
    ),
    "a table without a key": Case(
        ("UPDATE plain SET price = price * 100", "UPDATE plain SET price = price / 100"),
        "INSERT INTO plain VALUES ('new', 5)",
        ("UPDATE plain SET name = upper(name)", "UPDATE plain SET name = lower(name)"),
        {"plain": 1},
    ),
    "parts of a table": Case(
        ("ALTER TABLE parent ADD COLUMN colour text", "ALTER TABLE parent DROP COLUMN colour"),
        "INSERT INTO parent VALUES (101, 'new', 'red')",
        ("UPDATE parent SET name = upper(name)", "UPDATE parent SET name = lower(name)"),
        {"part": 1},
    ),
    "values that the first step's undo reckons back": Case(
        ("UPDATE item SET price = price * 100", "UPDATE item SET price = price / 100"),
        "INSERT INTO item VALUES (101, 'new', 500)",
        ("UPDATE item SET name = upper(name)", "UPDATE item SET name = lower(name)"),
        {"item": 1},
    ),
    "a view": Case(COLOUR, NEW, ("UPDATE seen SET name = upper(name)", "UPDATE seen SET name = lower(name)"), {"item": 2}),
    "a trigger": Case(
        COLOUR,
        NEW,
        ("UPDATE plain SET price = price + 1 WHERE price = 50", "UPDATE plain SET price = 50 WHERE price = 51"),
        {"item": 2},
    ),
    "a column that is added without writing": Case(
        COLOUR, OLD, ("ALTER TABLE item ADD more text; UPDATE item SET more = 'x'", "ALTER TABLE item DROP more"), {}
    ),
    "rows that are deleted and inserted again": Case(
        COLOUR,
        NEW,
        ("CREATE TEMP TABLE x AS SELECT * FROM item; DELETE FROM item; INSERT INTO item SELECT * FROM x", "SELECT 1"),
        {"item": 2},
    ),
    "a key of a type of the project's own": Case(
        ("ALTER TABLE felt ADD COLUMN colour text", "ALTER TABLE felt DROP COLUMN colour"),
        "INSERT INTO felt VALUES ('good', 1, 'red')",
        ("UPDATE felt SET price = price + 1", "UPDATE felt SET price = price - 1"),
        {"felt": 1},
    ),
    "nothing that counts what statements do": Case(
        COLOUR,
        f"{NEW}; DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET track_counts = off', current_database()); END $$",
        (DEARER, CHEAPER),
        {"item": 2},
    ),
    "nobody wrote": Case(COLOUR, "SELECT 1", (f"DO $$ BEGIN {DEARER}; END $$", CHEAPER), {}),
}


@pytest.fixture
def run_of(any_server: Server, make_project: Callable[..., Path]) -> Callable[[Case], Opened]:
    def make(case: Case) -> Opened:
        second = "b__sql__j2" if case.how is BY_BATCHES else "b__sql"
        files = dict(zip(("a__sql", "a__undo__sql", second, "b__undo__sql"), (*case.first, *case.second), strict=True))
        book = BOOK.replace("SECOND", case.how).replace("UNDO", "b.undo.sql")
        return open_run(any_server, make_project(book, **files), BEFORE)

    return make


@pytest.mark.parametrize("name", CASES)
def test_what_a_later_step_wrote_again_is_asked_for_where_it_would_go_and_only_there(
    run_of: Callable[[Case], Opened], name: str
) -> None:
    case = CASES[name]
    run = run_of(case)
    runner = run.runner()
    try:
        launch.go(runner, 1, launch.run_without_ui)
        run.rows(case.wrote)
        launch.go(runner, 1, launch.run_without_ui)
        assert runner.state.status is Status.DONE, runner.state.held
        counted = list[dict[str, int]]()
        runner.listeners.append(
            lambda _, event, __: counted.append(dict(event.body.rows)) if isinstance(event.body, LossCounted) else None
        )

        runner.append(RollbackAsked(why="a test", back_to=0))
        launch.run_without_ui(runner)

        found = {table.removeprefix("public."): rows for table, rows in counted[0].items() if rows}
        assert found == case.lost
        assert bool(runner.state.rollback.loss.pending) == bool(case.lost)
        assert runner.state.status is (Status.ROLLING_BACK if case.lost else Status.ROLLED_BACK)
    finally:
        runner.close()


def test_where_nobody_can_follow_the_rows_it_holds_before_they_go(run_of: Callable[[Case], Opened]) -> None:
    run = run_of(Case(COLOUR, NEW, ("UPDATE item SET id = id + 1000", "UPDATE item SET id = id - 1000"), {}))
    runner = run.runner()
    try:
        launch.go(runner, 1, launch.run_without_ui)
        run.rows(NEW)
        launch.go(runner, 1, launch.run_without_ui)

        runner.append(RollbackAsked(why="a test", back_to=0))
        launch.run_without_ui(runner)

        assert runner.state.rollback.loss.pending
        assert run.rows("SELECT count(colour) FROM item") == [(2,)]
    finally:
        runner.close()
