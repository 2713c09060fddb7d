"""A typing error in the runbook's file does not keep people from stopping a run, or from rolling it back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from support.command import environment, gonogo

pytestmark = pytest.mark.attack("in the way")
Make = Callable[..., Path]
BOOK = """\
# yaml-language-server: $schema=runbook.schema.json
runbook: book
title: A book
targets:
  db: {database: $TEST_URL}
  other: {database: $OTHER_URL}
people:
  lead: {name: Technical lead, roles: [technical_lead]}
phases:
  - phase: one
    tasks:
      - task: first
        steps: [{sql: a.sql, undo: a.undo.sql}]
  - phase: two
    gate: {approve: {roles: [technical_lead]}}
    tasks:
      - task: second
        steps: [{sql: b.sql, undo: b.undo.sql}]
checks:
  fine: {sql: fine.sql, expect: "= 0"}
"""
FILES = {
    "a__sql": "CREATE TABLE first (id int);\n",
    "a__undo__sql": "DROP TABLE first;\n",
    "b__sql": "CREATE TABLE second (id int);\n",
    "b__undo__sql": "DROP TABLE second;\n",
    "fine__sql": "SELECT 0\n",
}
MISTAKES: dict[str, Callable[[str], str]] = {
    "a bracket that is not closed": lambda text: text.replace("undo: b.undo.sql}]", "undo: b.undo.sql}"),
    "a tab": lambda text: text.replace("      - task: second", "\t- task: second"),
    "a wrong indent": lambda text: text.replace("    tasks:\n      - task: second", "   tasks:\n      - task: second"),
    "an unknown key": lambda text: text.replace("title: A book", "tittle: A book"),
    "a check that is not there": lambda text: text.replace("gate: {approve", "gate: {go_if: [gone], approve"),
    "a person who is not there": lambda text: text.replace(
        "roles: [technical_lead]}}\n    tasks", "roles: [nobody]}}\n    tasks"
    ),
    "a quote that is not closed": lambda text: text.replace('expect: "= 0"', 'expect: "= 0'),
    "another target is wrong": lambda text: text.replace("other: {database", "other: {databas"),
    "no phases": lambda text: text[: text.index("phases:")],
    "a key twice": lambda text: text + "title: Another\n",
    "an alias bomb": lambda text: text + "x: &a [1,1]\ny: [" + ", ".join(["*a"] * 60_000) + "]\n",
    "no valid name": lambda text: text.replace("runbook: book", "runbook: Book!"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_run_that_has_begun_is_held_decided_shown_and_rolled_back(mistake: str, make_project: Make, url: str) -> None:
    project, env = make_project(BOOK, **FILES), environment(TEST_URL=url)
    assert gonogo("run", "book", "--without-prefect", "--no-wait", cwd=project, env=env).returncode == 4
    file = project / "runbooks/book.yaml"
    file.write_text(MISTAKES[mistake](BOOK), encoding="utf-8")
    assert file.read_text(encoding="utf-8") != BOOK
    assert gonogo("validate", "book", cwd=project, env=env).returncode == 2
    assert gonogo("run", "book", cwd=project, env=env).returncode == 2, "nothing new is begun with it"

    for command, code in (
        (["status", "book", "--json"], 0),
        (["report", "book", "--format", "md"], 0),
        (["ledger", "verify", "book"], 0),
        (["go", "book", "--as", "lead"], 0),
        (["hold", "book", "--reason", "wait"], 0),
        (["resume", "book", "--without-prefect"], 0),
        (["rollback", "book", "--without-prefect", "--reason", "wrong"], 11),
    ):
        done = gonogo(*command, cwd=project, env=env)
        if command[0] == "hold" and done.returncode == 3:
            assert "nothing to hold" in done.stderr
            continue
        assert done.returncode == code, f"{command}: {done.stdout}{done.stderr}"
        assert "a run that has begun goes by its own plan" in done.stderr
        assert str(file) in done.stderr
        assert "Traceback" not in done.stderr
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT to_regclass('first'), to_regclass('second')").fetchone() == (None, None)


def test_a_mistake_in_the_first_target_leads_to_no_other_one(make_project: Make, url: str, old_url: str) -> None:
    book = BOOK.replace("other: {database: $OTHER_URL}", "production: {database: $OTHER_URL}")
    project, env = make_project(book, **FILES), environment(TEST_URL=url, OTHER_URL=old_url)
    for target in ("db", "production"):
        assert gonogo("run", "book", "-t", target, "--without-prefect", "--no-wait", cwd=project, env=env).returncode == 4
    file = project / "runbooks/book.yaml"
    for wrong in (
        "db: {databse: $TEST_URL}",
        "db: {database: $TEST_URL, protected: ture}",
        "db: {database: }",
        "db: {<<: *gone, database: $TEST_URL}",
    ):
        file.write_text(book.replace("db: {database: $TEST_URL}", wrong), encoding="utf-8")
        done = gonogo("rollback", "book", "--without-prefect", "--reason", "wrong", cwd=project, env=env)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stdout + done.stderr
    for more in ("targets:\n  db: {database: $OTHER_URL}\n", "---\ntargets:\n  db: {database: $OTHER_URL}\n"):
        file.write_text(book + more, encoding="utf-8")
        assert gonogo("rollback", "book", "--without-prefect", cwd=project, env=env).returncode == 2
    for each in (url, old_url):
        with psycopg.connect(each) as connection:
            assert connection.execute("SELECT to_regclass('first')").fetchone() == ("first",)


def test_a_run_goes_on_where_it_was_begun_whatever_its_file_says_of_names_now(make_project: Make, url: str) -> None:
    book = BOOK.replace("phases:", "sql: {search_path: app, lock_timeout: 2s}\nphases:", 1)
    project, env = make_project(book, **FILES), environment(TEST_URL=url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA app; CREATE TABLE public.first (mine int); INSERT INTO public.first VALUES (1)")
    assert gonogo("run", "book", "--without-prefect", "--no-wait", cwd=project, env=env).returncode == 4
    file = project / "runbooks/book.yaml"
    for changed in (book.replace("lock_timeout", "lock_timout"), book.replace("search_path: app, ", "")):
        file.write_text(changed, encoding="utf-8")
    done = gonogo("rollback", "book", "--without-prefect", "--reason", "wrong", cwd=project, env=env)
    assert done.returncode == 11, done.stdout + done.stderr
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT to_regclass('app.first'), to_regclass('public.first')::text").fetchone()
    assert found == (None, "first")


def test_where_the_target_itself_cannot_be_read_the_mistake_is_told_and_nothing_is_guessed(make_project: Make, url: str) -> None:
    project, env = make_project(BOOK, **FILES), environment(TEST_URL=url)
    assert gonogo("run", "book", "--without-prefect", "--no-wait", cwd=project, env=env).returncode == 4
    file = project / "runbooks/book.yaml"
    file.write_text(BOOK.replace("db: {database: $TEST_URL}", "db: {database $TEST_URL"), encoding="utf-8")
    done = gonogo("rollback", "book", "--without-prefect", cwd=project, env=env)
    assert done.returncode == 2
    assert "book.yaml:" in done.stderr
    assert "Traceback" not in done.stderr
