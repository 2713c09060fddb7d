"""The drill: on a copy the runner dies before and after everything, another one goes on, and all is as where nobody died."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.desk import BOOK, Desk, lay
from support.servers import Server

#: a transaction, a backfill, an index that is built outside one, a statement that nobody can ask about afterwards
STEPS = """
          - {step: first, sql: a.sql, undo: a.undo.sql}
          - {step: fill, backfill: {table: item, sql: fill.sql.j2, batch: 500}, undo: fill.undo.sql}
          - {step: index, sql: index.sql, undo: index.undo.sql}
          - {step: second, sql: [b.sql, c.sql], undo: [b.undo.sql, c.undo.sql]}
"""
FILES = {
    "fill__sql__j2": "UPDATE item SET colour = 'red' WHERE {{ batch }};\n",
    "fill__undo__sql": "UPDATE item SET colour = NULL;\n",
    "index__sql": "CREATE INDEX CONCURRENTLY item_colour ON item (colour);\n",
    "index__undo__sql": "DROP INDEX CONCURRENTLY item_colour;\n",
    "c__sql": "CREATE VIEW newest AS SELECT * FROM extra;\n",
    "c__undo__sql": "DROP VIEW newest;\n",
}


@pytest.fixture
def desk(make_project: Callable[..., object], other_when_long: Server) -> Callable[..., Desk]:
    return lambda book, **files: lay(make_project, other_when_long, book, **files)  # type: ignore[arg-type]


def book(steps: str) -> str:
    head, rest = BOOK.split("          - {step: first", 1)
    return head + steps.lstrip("\n") + "checks:" + rest.split("checks:", 1)[1]


def test_the_runner_dies_at_every_boundary_and_all_is_as_where_nobody_died(desk: Callable[..., Desk]) -> None:
    here = desk(book(STEPS), **FILES)

    done = here("rehearse", "book", "--drill", "--json")

    shown = json.loads(done.stdout)
    drill = shown["drill"]
    assert done.returncode == 0, (shown["shortcomings"], shown["forward"], drill)
    assert drill["differences"] == []
    assert drill["doubts"] == []
    assert drill["kills"] > 40, "twice at each of the events, forward and back"
    assert shown["shortcomings"] == ""


def test_a_step_that_nothing_can_tell_of_is_named_and_does_not_stop_the_drill(desk: Callable[..., Desk]) -> None:
    steps = STEPS.replace("{step: second", "{step: nobody knows, sql: d.sql, undo: nothing}\n          - {step: second")
    here = desk(book(steps), **FILES, d__sql="ALTER SUBSCRIPTION none_such REFRESH PUBLICATION;\n")
    refused = here("rehearse", "book", "--drill", "--json")
    assert refused.returncode == 10, "it does not even go forward"
    assert json.loads(refused.stdout)["drill"] is None

    steps = STEPS.replace(
        "{step: second",
        "{step: tool, run: [sh, -c, 'echo ran >> log'], undo: nothing, in_rehearsal: true}\n          - {step: second",
    )
    here = desk(book(steps), **FILES)
    done = here("rehearse", "book", "--drill")
    assert done.returncode == 0, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert "Only a person could say whether it had happened: work.tool" in said, said


def test_a_script_that_is_not_the_same_the_second_time_is_found_only_by_the_drill(desk: Callable[..., Desk]) -> None:
    # a sequence is not rolled back with its transaction: who runs it again makes another table
    script = (
        "SELECT nextval('sale_id_seq'); DO $$ BEGIN EXECUTE 'CREATE TABLE extra_' || currval('sale_id_seq') || ' ()'; END $$;\n"
    )
    undo = (
        "DO $$ DECLARE t text; BEGIN FOR t IN SELECT relname FROM pg_class WHERE relname LIKE 'extra\\_%'"
        " LOOP EXECUTE 'DROP TABLE ' || t; END LOOP; END $$;\n"
    )
    here = desk(book("          - {step: first, sql: b.sql, undo: b.undo.sql}\n"), b__sql=script, b__undo__sql=undo)
    assert here("rehearse", "book").returncode == 0

    done = here("rehearse", "book", "--drill")

    assert done.returncode == 10, done.stdout + done.stderr
    assert "in the drill, in which the runner died" in done.stdout
