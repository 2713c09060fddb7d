"""Where nobody but a person can say: held with the reason, and a way out in every case."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from support.command import environment, gonogo, start, status
from support.servers import Server
from support.waiting import until

CREATING = "SELECT 1 FROM pg_stat_activity WHERE query ~ '^(CREATE|DROP) DATABASE' AND state = 'active'"
Make = Callable[..., Path]
BOOK = """
runbook: book
targets: {db: {database: $TEST_URL}}
phases:
  - phase: one
    tasks:
      - task: outside
        steps:
          - {step: make, sql: make.sql, undo: make.undo.sql}
      - task: inside
        steps:
          - {sql: table.sql, undo: table.undo.sql}
"""


@pytest.fixture
def named(server: Server) -> tuple[str, str]:
    """A database, and the name of another that the runbook makes: what no transaction holds and no catalog proves."""
    url = server.database()
    return url, url.split("/")[3].split("?")[0] + "_made"


def book(make_project: Make, name: str, undo: str = "") -> Path:
    return make_project(
        BOOK,
        make__sql=f"CREATE DATABASE {name};\n",
        make__undo__sql=undo or f"DROP DATABASE {name};\n",
        table__sql="CREATE TABLE made (id int);\n",
        table__undo__sql="DROP TABLE made;\n",
    )


def kinds(url: str) -> list[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('gonogo.event')").fetchone() == (None,):
            return []
        return [str(row[0]) for row in connection.execute("SELECT kind FROM gonogo.event ORDER BY seq").fetchall()]


def there(url: str, name: str) -> bool:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is not None


def kill_while(url: str, project: Path, env: dict[str, str], kind: str, *words: str) -> None:
    """Start a command and kill -9 it as soon as an event of a kind is in the ledger."""
    template = url.replace(url.split("/")[3].split("?", maxsplit=1)[0], "template1")
    # a session in template1 makes CREATE DATABASE wait five seconds: time enough to die in it
    with psycopg.connect(template), psycopg.connect(url, autocommit=True) as connection:
        process = start(*words, "--without-prefect", cwd=project, env=env)
        until(lambda: kind in kinds(url))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=180)
        # the server has seen that nobody is there any more
        until(lambda: not connection.execute(CREATING).fetchone())


def test_a_step_in_doubt_holds_until_a_person_says_that_it_did_not_happen(make_project: Make, named: tuple[str, str]) -> None:
    url, name = named
    project, env = book(make_project, name), environment(TEST_URL=url)
    kill_while(url, project, env, "script started", "run", "book")
    assert not there(url, name)

    held = gonogo("resume", "book", "--without-prefect", cwd=project, env=env)

    assert held.returncode == 4, held.stdout + held.stderr
    assert "in doubt" in status("book", project, env)["held"]
    assert "--settle" in held.stdout
    settled = gonogo("resume", "book", "--settle", "not-done", "--without-prefect", cwd=project, env=env)
    assert settled.returncode == 0, settled.stdout + settled.stderr
    assert there(url, name)


def test_a_step_in_doubt_that_a_person_says_happened_is_not_done_again(make_project: Make, named: tuple[str, str]) -> None:
    url, name = named
    project, env = book(make_project, name), environment(TEST_URL=url)
    kill_while(url, project, env, "script started", "run", "book")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())

    settled = gonogo("resume", "book", "--settle", "done", "--without-prefect", cwd=project, env=env)

    assert settled.returncode == 0, settled.stdout + settled.stderr
    assert kinds(url).count("script started") == 1
    again = gonogo("resume", "book", "--settle", "done", "--without-prefect", cwd=project, env=env)
    assert "is over" in again.stdout


def test_a_step_without_undo_is_undone_by_hand_and_the_rollback_is_proved_all_the_same(
    make_project: Make, server: Server
) -> None:
    url = server.database()
    text = BOOK.replace(", undo: make.undo.sql", "").replace("make.sql", "table2.sql")
    project, env = (
        make_project(
            text,
            table2__sql="CREATE TABLE other ();\n",
            table__sql="CREATE TABLE made (id int);\n",
            table__undo__sql="DROP TABLE made;\n",
        ),
        environment(TEST_URL=url),
    )
    assert gonogo("run", "book", "--without-prefect", cwd=project, env=env).returncode == 0

    failed = gonogo("rollback", "book", "--without-prefect", cwd=project, env=env)

    assert failed.returncode == 12, failed.stdout + failed.stderr
    assert "outside.make has no undo" in failed.stdout
    early = gonogo("resume", "book", "--settle", "done", "--without-prefect", cwd=project, env=env)
    assert early.returncode == 12, "it was not undone, and the proof says so"
    assert "table public.other is new" in early.stdout
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE other")
    assert gonogo("resume", "book", "--without-prefect", cwd=project, env=env).returncode == 11


def test_an_undo_in_doubt_is_never_taken_for_done(make_project: Make, named: tuple[str, str]) -> None:
    url, name = named
    # the forward step's own done_if says nothing about its undo
    text = BOOK.replace(
        "undo: make.undo.sql}",
        f"undo: make.undo.sql, done_if: \"SELECT EXISTS (SELECT FROM pg_database WHERE datname = '{name}')\"}}",
    )
    project, env = book(make_project, name), environment(TEST_URL=url)
    (project / "runbooks" / "book.yaml").write_text(text)
    assert gonogo("run", "book", "--without-prefect", cwd=project, env=env).returncode == 0
    with psycopg.connect(url.replace(url.split("/")[3].split("?")[0], name)):
        # a session in the database makes DROP DATABASE wait
        kill_while(url, project, env, "undo started", "rollback", "book")
    assert there(url, name)

    resumed = gonogo("resume", "book", "--without-prefect", cwd=project, env=env)

    assert resumed.returncode == 12, resumed.stdout + resumed.stderr
    assert "in doubt" in resumed.stdout
    settled = gonogo("resume", "book", "--settle", "not-done", "--without-prefect", cwd=project, env=env)
    assert settled.returncode == 11, settled.stdout + settled.stderr
    assert not there(url, name)


def test_a_query_that_breaks_when_it_is_asked_holds_the_run_with_its_words(make_project: Make, named: tuple[str, str]) -> None:
    url, name = named
    project, env = book(make_project, name), environment(TEST_URL=url)
    text = (project / "runbooks" / "book.yaml").read_text()
    (project / "runbooks" / "book.yaml").write_text(
        text.replace("undo: make.undo.sql}", 'undo: make.undo.sql, done_if: "SELECT no_such_function()"}')
    )
    kill_while(url, project, env, "script started", "run", "book")

    resumed = gonogo("resume", "book", "--without-prefect", cwd=project, env=env)

    assert resumed.returncode == 4, resumed.stdout + resumed.stderr
    assert "42883" in resumed.stdout
    assert "Traceback" not in resumed.stdout + resumed.stderr


def test_another_runbooks_run_is_not_rolled_back_by_mistake(make_project: Make, server: Server) -> None:
    url = server.database()
    project = make_project(
        BOOK.replace("make.sql, undo: make.undo.sql", "table.sql, undo: table.undo.sql").replace(
            "      - task: inside\n        steps:\n          - {sql: table.sql, undo: table.undo.sql}\n", ""
        ),
        table__sql="CREATE TABLE made ();\n",
        table__undo__sql="DROP TABLE made;\n",
    )
    env = environment(TEST_URL=url)
    assert gonogo("run", "book", "--without-prefect", cwd=project, env=env).returncode == 0
    other = (project / "runbooks" / "book.yaml").read_text().replace("runbook: book", "runbook: other")
    (project / "runbooks" / "other.yaml").write_text(other)
    (project / "sql_templates" / "other").symlink_to(project / "sql_templates" / "book")
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT id FROM gonogo.run").fetchone()

    refused = gonogo("rollback", "other", "--run", row[0] if row else "", "--without-prefect", cwd=project, env=env)

    assert refused.returncode in (2, 3)
    with psycopg.connect(url, autocommit=True) as connection:
        assert connection.execute("SELECT to_regclass('made')").fetchone() == ("made",)


def test_a_run_waits_for_its_start_unless_it_is_told_at_once(make_project: Make, server: Server) -> None:
    url = server.database()
    later = BOOK.replace("targets:", 'schedule: {start: "2099-01-01T10:00"}\ntargets:')
    project = make_project(
        later.replace("make.sql, undo: make.undo.sql", "table2.sql, undo: nothing"),
        table2__sql="CREATE TABLE other ();\n", table__sql="CREATE TABLE made ();\n", table__undo__sql="DROP TABLE made;\n",
    )  # fmt: skip
    env = environment(TEST_URL=url)
    process = start("run", "book", "--without-prefect", cwd=project, env=env)
    until(lambda: kinds(url)[-1:] == ["phase started"])
    time.sleep(1)
    assert process.poll() is None
    assert kinds(url)[-1] == "phase started"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=180) == 4
    process.communicate()
    back = gonogo("abort", "book", "--without-prefect", cwd=project, env=env)
    assert back.returncode == 11
    assert "nothing had been changed" in back.stdout
    assert gonogo("run", "book", "--at-once", "--without-prefect", cwd=project, env=env).returncode == 0


def test_init_makes_a_project_that_validates_plans_runs_and_rolls_back(open_path: Path) -> None:
    env, shop = environment(), open_path / "shop"
    assert gonogo("init", "shop", cwd=open_path, env=env).returncode == 0
    for words, code in (
        (("validate", "hello"), 0),
        (("plan", "hello", "--sql"), 0),
        (("run", "hello", "--without-prefect"), 0),
        (("status", "hello"), 0),
        (("report", "hello", "--format", "md"), 0),
        (("rollback", "hello", "--without-prefect", "--reason", "only trying"), 11),
    ):
        done = gonogo(*words, cwd=shop, env=env)
        assert done.returncode == code, done.stdout + done.stderr
    assert gonogo("init", "shop", cwd=open_path, env=env).returncode == 2
