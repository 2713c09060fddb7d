"""A gate asks that the very same was done on another target first: by that target's ledger, and this project's signature."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from support.desk import BOOK, Desk, lay
from support.servers import Server

Make = Callable[..., Path]
TARGETS = "targets: {staging: {database: $STAGING_URL}, production: {database: $TEST_URL}}"
STAGED = BOOK.replace("targets: {db: {database: $TEST_URL}}", TARGETS).replace(
    "gate: {go_if: [quiet]}", "gate: {go_if: [quiet], done_on: [staging]}"
)


@pytest.fixture
def desk(make_project: Make, server: Server) -> Desk:
    here = lay(make_project, server, STAGED)
    other = server.database()
    with psycopg.connect(other, autocommit=True) as connection:
        # another database, with a schema of its own beside
        connection.execute("CREATE TABLE item (id int PRIMARY KEY); CREATE TABLE sale (id int); CREATE TABLE more (id int)")
    here.env["STAGING_URL"] = other
    return here


def run(desk: Desk, target: str, code: int = 0, *more: str) -> str:
    done = desk("run", "book", "--target", target, "--without-prefect", *more)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_very_same_must_be_done_there_first(desk: Desk) -> None:
    assert "done on staging: nothing was ever run there (fail)" in run(desk, "production", 10)
    run(desk, "staging")
    said = run(desk, "production")
    assert "done" in said
    with psycopg.connect(desk.url, autocommit=True) as connection:
        (go,) = connection.execute("SELECT body FROM gonogo.event WHERE kind = 'go'").fetchall()
    assert "done there as book-" in json.dumps(go)


@pytest.mark.parametrize(
    ("file", "before", "after", "same"),
    [
        ("sql_templates/book/a.sql", "colour text", "colour int", False),
        ("sql_templates/book/a.sql", "ALTER TABLE item", "-- a remark\nALTER  TABLE item", True),
        ("sql_templates/book/a.undo.sql", "colour", "colour CASCADE", False),
        ("sql_templates/book/quiet.sql", "SELECT 0", "SELECT 0 + 0", False),
        ("runbooks/book.yaml", '"= 0"', '"<= 0"', False),
        ("runbooks/book.yaml", "phases:", "schedule: {end_by: '23:59'}\ntitle: Another title\nphases:", True),
        ("runbooks/book.yaml", "phases:", "rollback: {takes: 5m}\nphases:", False),
    ],
    ids=["script", "layout", "undo", "query", "limit", "title and clock", "rule of the rollback"],
)
def test_what_changed_since_is_another_change(desk: Desk, file: str, before: str, after: str, same: bool) -> None:
    run(desk, "staging")
    path = desk.project / file
    assert before in path.read_text(encoding="utf-8")
    path.write_text(path.read_text(encoding="utf-8").replace(before, after, 1), encoding="utf-8")
    said = run(desk, "production", 0 if same else 10)
    assert same or "the very same was never run there; 1 others of book were, with other scripts, inputs or rules" in said


def test_what_was_rolled_back_there_does_not_count(desk: Desk) -> None:
    run(desk, "staging")
    back = desk("rollback", "book", "--target", "staging", "--reason", "r", "--without-prefect")
    assert back.returncode == 11, back.stdout + back.stderr
    assert "there is rolled back" in run(desk, "production", 10)


def test_what_somebody_wrote_into_that_ledger_does_not_count(desk: Desk) -> None:
    run(desk, "staging")
    with psycopg.connect(desk.env["STAGING_URL"], autocommit=True) as connection:
        connection.execute("ALTER TABLE gonogo.event DISABLE TRIGGER USER")
        connection.execute("UPDATE gonogo.event SET body = (body::jsonb - 'signature')::json WHERE kind = 'run done'")
    assert "is not signed with this project's key" in run(desk, "production", 10)


def test_a_machine_without_the_projects_key_is_told_so(desk: Desk) -> None:
    run(desk, "staging")
    (desk.project / ".gonogo" / "keys.json").unlink()
    assert "is not signed with this project's key: it was run elsewhere, or made up" in run(desk, "production", 10)


def test_what_was_cut_off_the_end_of_that_ledger_is_missed(desk: Desk) -> None:
    run(desk, "staging")
    back = desk("rollback", "book", "--target", "staging", "--reason", "r", "--without-prefect")
    assert back.returncode == 11, back.stdout + back.stderr
    with psycopg.connect(desk.env["STAGING_URL"], autocommit=True) as connection:
        connection.execute("ALTER TABLE gonogo.event DISABLE TRIGGER USER")
        connection.execute("DELETE FROM gonogo.event WHERE seq > (SELECT seq FROM gonogo.event WHERE kind = 'run done')")
        connection.execute("UPDATE gonogo.run SET seq = (SELECT max(seq) FROM gonogo.event)")
    assert "has a ledger that was changed" in run(desk, "production", 10)


def test_a_ledger_that_came_with_a_copy_of_another_database_does_not_count(desk: Desk, server: Server) -> None:
    run(desk, "staging")
    name = desk.env["STAGING_URL"].split("/")[3].split("?", maxsplit=1)[0]
    desk.env["STAGING_URL"] = server.database(name)
    assert "was run on another database, of which this one is a copy" in run(desk, "production", 10)


def test_a_no_go_that_changed_nothing_says_nothing_of_the_run_before(desk: Desk) -> None:
    quiet = desk.project / "sql_templates" / "book" / "quiet.sql"
    quiet.write_text("SELECT count(*) FROM pg_tables WHERE tablename = 'noise'\n", encoding="utf-8")
    run(desk, "staging")
    with psycopg.connect(desk.env["STAGING_URL"], autocommit=True) as connection:
        connection.execute("CREATE TABLE noise ()")
    run(desk, "staging", 10, "--again")
    run(desk, "production")


def test_a_program_whose_file_changed_since_is_another_change(desk: Desk) -> None:
    program = desk.project / "deploy.sh"
    program.write_text("true\n", encoding="utf-8")
    file = desk.project / "runbooks" / "book.yaml"
    step = "          - {step: ship, run: [/bin/sh, deploy.sh], undo: nothing}\n"
    file.write_text(file.read_text().replace("          - {step: first,", f"{step}          - {{step: first,", 1))
    run(desk, "staging")
    program.write_text("echo another\n", encoding="utf-8")
    assert "with other scripts, inputs or rules" in run(desk, "production", 10)


def test_a_target_that_does_not_answer_is_no_go(desk: Desk) -> None:
    desk.env["STAGING_URL"] = "postgresql://nobody@127.0.0.1:1/nothing"
    assert "done on staging: it cannot be asked: cannot reach nothing on 127.0.0.1" in run(desk, "production", 10)
    del desk.env["STAGING_URL"]
    assert "STAGING_URL" in run(desk, "production", 10)


def test_the_change_is_the_same_on_every_target_and_the_seal_is_not(desk: Desk) -> None:
    plans = [json.loads(desk("plan", "book", "--target", name, "--json").stdout) for name in ("staging", "production")]
    assert plans[0]["what"] == plans[1]["what"]
    assert plans[0]["seal"] != plans[1]["seal"]
    assert len(plans[0]["what"]) == 64
    assert f"change {plans[0]['what'][:16]}" in desk("plan", "book", "--target", "staging").stdout


def test_an_unknown_target_in_a_gate_is_a_mistake(desk: Desk) -> None:
    file = desk.project / "runbooks" / "book.yaml"
    file.write_text(file.read_text().replace("done_on: [staging]", "done_on: [stagin]"))
    said = desk("validate", "book")
    assert said.returncode == 2
    assert "stagin" in said.stderr
    assert "staging" in said.stderr
