"""Copies for rehearsals that something else makes: seen to be copies, never restored over, with the target's rights."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import psycopg
import pytest
from support.desk import BOOK, Desk, lay
from support.servers import Server

Make = Callable[..., Path]
#: a program that makes a copy of the target, and one that drops it
CLONE = """
import json, os, subprocess, sys
word, server = sys.argv[1:]
name = f"clone_of_{os.environ['PGDATABASE']}_{len(os.listdir('.'))}"
import psycopg
with psycopg.connect(server, autocommit=True) as connection:
    open("calls", "a").write(word + "\\n")
    if word == "make":
        open(name, "w").close()
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {os.environ.get('SOURCE') or 'ready_' + os.environ['PGDATABASE']}")
        print(json.dumps({"url": server.replace("/postgres?", f"/{name}?")}))
    else:
        connection.execute(f"DROP DATABASE {os.environ['GONOGO_COPY']} WITH (FORCE)")
"""
AS_OF = "SELECT timestamptz '2026-01-02 03:04:05+00'"


@pytest.fixture
def desk(make_project: Make, any_server: Server) -> Desk:
    return lay(make_project, any_server)


def name_of(url: str) -> str:
    return url.split("/")[3].split("?", maxsplit=1)[0]


def on(desk: Desk, rule: str, levels: str = "undo") -> None:
    target = f"{{database: $TEST_URL, rehearse_on: {rule}}}"
    book = BOOK.replace("{database: $TEST_URL}", target).replace("phases:", f"rollback: {{levels: [{levels}]}}\nphases:", 1)
    (desk.project / "runbooks" / "book.yaml").write_text(book, encoding="utf-8")


@contextmanager
def ready(desk: Desk, server: Server) -> Iterator[str]:
    """A copy of the target that somebody made."""
    name = f"ready_{name_of(desk.url)}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {name_of(desk.url)}".encode())
    url = server.url_of(name)
    desk.env["COPY_URL"] = url
    try:
        yield url
    finally:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


def one(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None


def left_over(server: Server) -> list[str]:
    with psycopg.connect(server.url, autocommit=True) as connection:
        rows = connection.execute("SELECT datname FROM pg_database WHERE datname ~ '^(gonogo_scratch|clone_of)'").fetchall()
        return [str(row[0]) for row in rows]


def test_a_copy_that_is_ready_is_copied_and_stays_as_it_is(desk: Desk, any_server: Server) -> None:
    with ready(desk, any_server) as url:
        on(desk, f'{{ready: $COPY_URL, as_of: "{AS_OF}"}}')
        shown = desk.rehearse("--each-step")
        assert shown["on"] == "a copy that was ready"
        assert datetime.fromisoformat(shown["at"]).year == 2026
        assert datetime.fromisoformat(shown["at"]).month == 1
        assert shown.get("backup") is None
        assert [each["verdict"] for each in shown["levels"]] == ["restores exactly"]
        assert [each["verdict"] for each in shown["steps"]] == ["restores exactly"] * 2
        assert shown["rows"] == 2500
        assert one(url, "SELECT to_regnamespace('gonogo')") is None
        assert one(url, "SELECT to_regclass('extra')") is None
    assert left_over(any_server) == []


def test_where_somebody_is_connected_to_it_the_rehearsal_works_in_it_only_where_it_may_and_once(
    desk: Desk, any_server: Server
) -> None:
    with ready(desk, any_server) as url, psycopg.connect(url):
        on(desk, f'{{ready: $COPY_URL, as_of: "{AS_OF}"}}')
        used = desk("rehearse", "book")
        assert used.returncode == 3
        assert "cannot be copied" in used.stderr
        assert "`in_place: true`" in used.stderr
        on(desk, f'{{ready: $COPY_URL, as_of: "{AS_OF}", in_place: true}}')
        shown = desk.rehearse()
        assert [each["verdict"] for each in shown["levels"]] == ["restores exactly"]
        refused = desk("rehearse", "book", "--each-step")
        assert refused.returncode == 3
        assert "the rehearsal needs a second copy, and the one that is ready cannot be copied" in refused.stderr


def test_what_is_no_copy_of_the_target_is_refused_before_anything_is_changed(desk: Desk, any_server: Server) -> None:
    desk.env["COPY_URL"] = desk.url
    on(desk, f'{{ready: $COPY_URL, as_of: "{AS_OF}"}}')
    said = desk("rehearse", "book")
    assert said.returncode == 3
    assert "is the target itself" in said.stderr
    with ready(desk, any_server) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER TABLE item ADD COLUMN odd int")
        said = desk("rehearse", "book")
        assert said.returncode == 3
        assert "has another schema than the target: " in said.stderr
        assert "column public.item.odd" in said.stderr
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER TABLE item DROP COLUMN odd")
        # somebody works there with a ledger of its own
        desk.env["TEST_URL"], desk.env["COPY_URL"] = url, desk.url
        assert desk("run", "book", "--without-prefect").returncode == 0
        assert desk("rollback", "book", "--reason", "r", "--without-prefect").returncode == 11
        desk.env["TEST_URL"], desk.env["COPY_URL"] = desk.url, url
        said = desk("rehearse", "book")
        assert said.returncode == 3
        assert "it is a database in use" in said.stderr
        assert one(url, "SELECT count(*) > 5 FROM gonogo.event") is True


@pytest.mark.parametrize("answer", ["SELECT 7", "SELECT max(id) FROM sale WHERE false", "SELECT now()::timestamp", "SELECT odd"])
def test_a_copy_whose_age_nobody_knows_is_refused(desk: Desk, any_server: Server, answer: str) -> None:
    with ready(desk, any_server):
        on(desk, f'{{ready: $COPY_URL, as_of: "{answer}"}}')
        said = desk("rehearse", "book")
        assert said.returncode == 3
        assert "as_of" in said.stderr or "odd" in said.stderr


def test_copies_that_a_program_makes_are_used_and_dropped(desk: Desk, any_server: Server) -> None:
    (desk.project / "ops").mkdir()
    (desk.project / "ops" / "clone.py").write_text(CLONE, encoding="utf-8")

    def program(word: str) -> str:
        return f"{{argv: [{sys.executable}, clone.py, {word}, {json.dumps(any_server.url)}], folder: ops}}"

    with ready(desk, any_server):
        on(desk, f"{{make: {program('make')}, drop: {program('drop')}}}", "undo, restore")
        with (desk.project / "runbooks" / "book.yaml").open("a", encoding="utf-8") as file:
            file.write("backup: {}\n")
        shown = desk.rehearse("--each-step", "--drill")
        assert [(each["level"], each["verdict"]) for each in shown["levels"]] == [
            ("undo", "restores exactly"),
            ("restore", "is not rehearsed: it is proved with the backup"),
        ]
        assert shown["drill"]["kills"] > 5
        calls = (desk.project / "ops" / "calls").read_text(encoding="utf-8").split()
        assert calls == ["make", "drop"] * 3
    assert left_over(any_server) == []


@pytest.mark.parametrize(
    ("answer", "code", "says", "calls"),
    [
        ("target", 0, "what it made is the target itself; {name!r} is not dropped", []),
        ("target", 7, "ended with 7", []),
        ("ready", 7, "ended with 7", ["drop"]),
        ("ready", 0, "restores exactly", ["drop"]),
    ],
)
def test_what_a_program_made_is_dropped_unless_it_is_the_target(
    desk: Desk, any_server: Server, answer: str, code: int, says: str, calls: list[str]
) -> None:
    (desk.project / "ops").mkdir()
    (desk.project / "ops" / "drop.py").write_text("import os\nprint('drop', file=open('calls', 'a'))\n", encoding="utf-8")
    with ready(desk, any_server) as url:
        given = json.dumps({"url": url if answer == "ready" else desk.url})
        (desk.project / "ops" / "make.py").write_text(f"import sys\nprint({given!r})\nsys.exit({code})\n", encoding="utf-8")
        make, drop = (f"{{argv: [{sys.executable}, {word}.py], folder: ops}}" for word in ("make", "drop"))
        on(desk, f"{{make: {make}, drop: {drop}}}")
        said = desk("rehearse", "book")
        assert (said.returncode == 0) is (code == 0 and answer == "ready"), said.stdout + said.stderr
        assert says.format(name=name_of(desk.url)) in said.stdout + said.stderr
    file = desk.project / "ops" / "calls"
    assert (file.read_text(encoding="utf-8").split() if file.exists() else []) == calls


def test_the_targets_own_files_are_copied_where_nobody_is_connected(desk: Desk, any_server: Server) -> None:
    on(desk, "{files: true}")
    shown = desk.rehearse()
    assert shown["on"] == "a copy of the target's files on its own server"
    assert [each["verdict"] for each in shown["levels"]] == ["restores exactly"]
    with psycopg.connect(desk.url):
        said = desk("rehearse", "book")
        assert said.returncode == 3
        assert "being accessed by other users" in said.stderr
    assert left_over(any_server) == []


def test_a_plan_acts_in_a_copy_with_the_rights_that_it_has_on_the_target(desk: Desk, any_server: Server) -> None:
    with psycopg.connect(desk.url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute("DROP ROLE IF EXISTS small; CREATE ROLE small LOGIN")
        connection.execute(f"GRANT CREATE ON DATABASE {name} TO small; GRANT CREATE, USAGE ON SCHEMA public TO small")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO small")
    desk.env["TEST_URL"] = desk.url.replace("postgres:@", "small@").replace("postgres@", "small@")
    with ready(desk, any_server) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"GRANT CREATE ON DATABASE {connection.info.dbname} TO small")
        on(desk, f'{{ready: $COPY_URL, as_of: "{AS_OF}"}}')
        # the copy's login may everything, and the plan may not: its tables are somebody else's
        shown = desk.rehearse(code=10)
        assert "small may not alter item, which belongs to postgres" in shown["shortcomings"]
    any_server.forget(desk.url, "small")


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("{ready: $COPY_URL}", "`ready` needs `as_of`"),
        ("{}", "one of `ready`, `make` and `files`"),
        ("{files: true, make: [a]}", "one of `ready`, `make` and `files`"),
        ("{files: true, drop: [a]}", "`drop` drops what `make` made"),
        ('{ready: "postgresql://a:b@c/d", as_of: "SELECT 1"}', "password"),
        ("{made: [a]}", "made"),
        ("{files: true, in_place: true}", "`in_place` is about a copy that is `ready`"),
        ('{ready: $TEST_URL, as_of: "SELECT now()"}', "this is the target 'db', and no copy"),
    ],
)
def test_a_rule_for_copies_that_cannot_work_is_one_clear_error(desk: Desk, rule: str, says: str) -> None:
    on(desk, rule)
    said = desk("validate", "book")
    assert said.returncode == 2
    assert says in said.stderr
