"""What a role cannot see whole is an error that says why, and never counted in part."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from support.servers import Server, visit

from checks.kind import CheckEnvironment
from checks.measure import measure
from gonogo import launch, load
from gonogo.core.engine.events import Held, StepFailed
from gonogo.core.engine.verdict import Measurement
from gonogo.core.model.check import Check
from gonogo.core.plan.plan import Plan
from gonogo.postgres.checksum import checksum, count_rows
from gonogo.postgres.connection import Connection, Database

HIDDEN = "query would be affected by row-level security policy"


@pytest.fixture
def hidden(any_server: Server) -> Iterator[tuple[str, str]]:
    """A table of ten rows of which its owner sees four; the database, and the owner."""
    url = any_server.database()
    role = f"owner_{os.getpid()}_{url.split('/')[3].split('?')[0]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        connection.execute(
            sql.SQL("GRANT ALL ON SCHEMA public TO {0}; GRANT CREATE ON DATABASE {1} TO {0}").format(
                sql.Identifier(role), sql.Identifier(connection.info.dbname)
            )
        )
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        connection.execute(
            "CREATE TABLE item (id int PRIMARY KEY, note text, parent int REFERENCES item);"
            " INSERT INTO item SELECT g, 'n' FROM generate_series(1, 10) g; ALTER TABLE item ENABLE ROW LEVEL SECURITY;"
            " ALTER TABLE item FORCE ROW LEVEL SECURITY; CREATE POLICY few ON item USING (id < 5)"
        )
        connection.execute("RESET ROLE")
        yield url, role
        connection.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(sql.Identifier(role)))


def asked(connection: Connection, database: Database, check: dict[str, Any]) -> Measurement:
    """What a check answers."""
    plan = Plan.model_construct(checks={"c": Check.model_validate({"expect": "= 0", **check})}, questions={})
    return measure(plan, "c", CheckEnvironment(texts={}, root=Path(), database=database, untrusted=""), connection)


@pytest.mark.parametrize(
    "check",
    [
        {"rows": "item"},
        {"checksum": ["item"]},
        {"values": {"table": "item", "columns": ["note"], "null": False}},
        {"query": "SELECT count(*) FROM item WHERE note IS NULL"},
        {"equal": ["SELECT count(*) FROM item", "SELECT 4"]},
    ],
    ids=lambda check: next(iter(check)),
)
def test_a_check_of_rows_that_are_hidden_is_an_error(hidden: tuple[str, str], check: dict[str, Any]) -> None:
    database = Database(url=hidden[0], role=hidden[1])
    with visit(database) as connection:
        assert HIDDEN in asked(connection, database, check).error


def test_a_check_that_is_asked_as_a_role_sees_what_that_role_sees(hidden: tuple[str, str]) -> None:
    database = Database(url=hidden[0], role=hidden[1])
    with visit(database) as connection:
        found = asked(connection, database, {"query": "SELECT count(*) FROM item", "role": hidden[1], "expect": "= 4"})
    assert (found.error, found.numbers["value"]) == ("", "4")


@pytest.mark.parametrize("count", [count_rows, checksum])
def test_rows_are_counted_whole_or_not_at_all(hidden: tuple[str, str], count: Callable[[Connection, str], object]) -> None:
    with (
        visit(Database(url=hidden[0], role=hidden[1])) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        count(connection, "item")


def test_a_backfill_that_cannot_see_all_rows_fails_and_a_script_does_what_it_does_by_hand(
    hidden: tuple[str, str], make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, role = hidden
    monkeypatch.setenv("TEST_URL", url)
    book = f"""
runbook: book
title: Hidden rows
targets: {{db: {{database: $TEST_URL, role: {role}}}}}
phases:
  - phase: one
    on_failure: hold
    tasks:
      - task: fill
        steps:
          - {{sql: mark.sql, undo: nothing}}
          - {{backfill: {{table: item, sql: fill.sql.j2, batch: 3}}, undo: nothing}}
"""
    root = make_project(
        book, mark__sql="UPDATE item SET note = 'marked';", fill__sql__j2="UPDATE item SET note = 'filled' WHERE {{ batch }};"
    )
    run = launch(load(root / "runbooks" / "book.yaml"), at_once=True)

    failed = [event.body for event in run.events if isinstance(event.body, StepFailed | Held)]
    assert HIDDEN in failed[0].why, run.outcome
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT note, count(*) FROM item GROUP BY 1 ORDER BY 1").fetchall()
    assert rows == [("marked", 4), ("n", 6)], "the script was the role's own; nothing is filled"
