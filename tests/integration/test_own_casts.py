"""A cast that somebody made from a type of their own is found whatever the search path: nothing of gonogo's calls it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from support.command import environment, gonogo
from support.desk import Make
from support.servers import Server

from checks.asking import asking
from checks.kind import Question
from gonogo.core.model.check import Check
from gonogo.ledger.version import VERSION
from gonogo.postgres.own_types import why_not_compared

pytestmark = [pytest.mark.attack("objects in the target"), pytest.mark.timeout(300)]
#: asks for what a superuser may
SPRUNG = """
CREATE FUNCTION app.sprung() RETURNS int LANGUAGE plpgsql AS $f$
BEGIN EXECUTE 'COPY (SELECT 1) TO PROGRAM ''cat > {file}'''; EXECUTE 'ALTER ROLE {role} SUPERUSER'; RETURN 1;
EXCEPTION WHEN insufficient_privilege THEN RETURN 1; END $f$;
"""
#: a table with a column of a type whose casts and operators call what asks for what a superuser may
CASTS = """
CREATE TYPE app.odd AS ENUM ({labels});
CREATE TABLE app.wallet (id int PRIMARY KEY, n app.odd NOT NULL, note text);
CREATE TABLE app.entry (id int PRIMARY KEY, wallet app.odd);
INSERT INTO app.wallet SELECT g, g::text::app.odd, 'note' FROM generate_series(1, 20) g;
INSERT INTO app.entry SELECT g, g::text::app.odd FROM generate_series(1, 20) g;
CREATE FUNCTION app.to_int(o app.odd) RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM app.sprung(); RETURN 1; END';
CREATE FUNCTION app.to_text(o app.odd) RETURNS text LANGUAGE plpgsql AS 'BEGIN PERFORM app.sprung(); RETURN ''x''; END';
CREATE FUNCTION app.to_json(o app.odd) RETURNS json LANGUAGE plpgsql AS 'BEGIN PERFORM app.sprung(); RETURN ''1''; END';
CREATE FUNCTION app.same(a app.odd, b app.odd) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN PERFORM app.sprung(); RETURN true; END';
CREATE CAST (app.odd AS int) WITH FUNCTION app.to_int(app.odd) AS IMPLICIT;
CREATE CAST (app.odd AS text) WITH FUNCTION app.to_text(app.odd) AS IMPLICIT;
CREATE CAST (app.odd AS json) WITH FUNCTION app.to_json(app.odd) AS IMPLICIT;
CREATE OPERATOR app.= (LEFTARG = app.odd, RIGHTARG = app.odd, FUNCTION = app.same);
"""
BOOK = """
runbook: book
targets: {db: {database: $TEST_URL}}
backup: {}
phases:
  - phase: one
    gate: {go_if: [quiet]}
    tasks:
      - task: work
        steps:
          - {step: note, sql: a.sql, undo: a.undo.sql}
          - {step: fill, backfill: {table: app.wallet, key: KEY, sql: fill.sql}, undo: nothing}
    verify: [positive, unique, by_int, by_type]
checks:
  quiet: {query: SELECT 0, expect: "= 0"}
  positive: {values: {table: app.wallet, columns: n, min: 0}, expect: "= 0"}
  unique: {values: {table: app.wallet, columns: n, unique: true}, expect: "= 0"}
  by_int: {orphans: [{child: app.entry.wallet, parent: app.wallet.id}], expect: "= 0"}
  by_type: {orphans: [{child: app.entry.wallet, parent: app.wallet.n}], expect: "= 0"}
"""
FILES = {
    "a__sql": "ALTER TABLE app.wallet ADD COLUMN extra text;\n",
    "a__undo__sql": "UPDATE app.wallet SET note = 'back';\nALTER TABLE app.wallet DROP COLUMN extra;\n",
    "fill__sql": "UPDATE app.wallet w SET extra = 'x' WHERE gonogo.batch('w');\n",
}


@contextmanager
def laid(server: Server, trap: str) -> Iterator[tuple[str, str]]:
    """A database in which somebody who may only make objects has laid a trap; its URL for a superuser, and who that is."""
    url, role, file = server.database(), f"caster_{os.getpid()}", _file()
    file.unlink(missing_ok=True)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN; CREATE SCHEMA app AUTHORIZATION {role}".encode())
        try:
            with psycopg.connect(url, user=role, autocommit=True) as owner:
                owner.execute(SPRUNG.replace("{role}", role).replace("{file}", str(file)).encode())
                owner.execute(trap.encode())
            yield url, role
        finally:
            connection.execute(f"ALTER ROLE {role} NOSUPERUSER; DROP OWNED BY {role} CASCADE; DROP ROLE {role}".encode())


@pytest.fixture
def trapped(any_server: Server) -> Iterator[tuple[str, str]]:
    """One with casts and operators of a type of their own."""
    with laid(any_server, CASTS.format(labels=", ".join(f"'{n}'" for n in range(1, 21)))) as found:
        yield found


def _file() -> Path:
    """What a program makes that only a superuser may start; a transaction does not take it back."""
    return Path(tempfile.gettempdir()) / f"gonogo-sprung-{os.getpid()}"


def sprang(url: str, role: str) -> bool:
    """Say whether the trap was called by a superuser."""
    if _file().exists():
        _file().unlink()
        return True
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = %s", [role]).fetchone() == (True,)


def test_the_trap_springs_where_a_superuser_casts_or_compares(trapped: tuple[str, str]) -> None:
    url, role = trapped
    for query in (
        "SELECT pg_catalog.to_jsonb(t.*) FROM app.wallet t",
        "SELECT n::text FROM app.wallet",
        "SELECT count(*) FROM app.wallet WHERE n < 0",
    ):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET search_path TO pg_catalog, pg_temp")
            connection.execute(query.encode())
            assert sprang(url, role), query
            connection.execute(sql.SQL("ALTER ROLE {} NOSUPERUSER").format(sql.Identifier(role)))


@pytest.mark.parametrize("key", ["id", "n"])
def test_nothing_of_gonogos_calls_a_cast_of_somebody_elses(trapped: tuple[str, str], make_project: Make, key: str) -> None:
    url, role = trapped
    project: Path = make_project(BOOK.replace("KEY", key), **FILES)
    env = environment(TEST_URL=url)

    def do(*command: str) -> str:
        done = gonogo(*command, cwd=project, env=env)
        assert not sprang(url, role), f"{command}: it sprang"
        assert "Traceback" not in done.stdout + done.stderr
        return done.stdout + done.stderr

    told = do("run", "book", "--without-prefect")
    if key == "n":
        assert "app.wallet.n has the type app.odd" in told, told
        return
    for check in ("positive", "unique", "by_int", "by_type"):
        assert f"{check}: " in told
    assert told.count("comparing its values would run that role's code") >= 4
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE app.wallet SET note = 'of the application' WHERE id < 4")
    do("rehearse", "book", "--blind-spots")
    do("status", "book")
    do("report", "book", "--format", "md")
    do("rollback", "book", "--without-prefect", "--continue")
    do("rollback", "book", "--without-prefect", "--continue", "--accept-loss")


def test_what_a_superuser_or_who_logged_in_wrote_is_compared(trapped: tuple[str, str]) -> None:
    url, role = trapped
    with psycopg.connect(url, autocommit=True) as connection:
        assert "app.wallet.n has the type" in why_not_compared(connection, "app.wallet")
        assert why_not_compared(connection, "app.wallet", ["id", "note"]) == ""
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        assert why_not_compared(connection, "app.wallet"), "what runs under SET ROLE can go back to who logged in"
        connection.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(role)))
        assert why_not_compared(connection, "app.wallet") == ""


CHECKED = """
CREATE FUNCTION app.fine(what anyelement) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN PERFORM app.sprung(); RETURN true; END';
CREATE DOMAIN app.code AS int CHECK (app.fine(VALUE));
CREATE TABLE app.coded (id app.code PRIMARY KEY, note text);
CREATE TABLE app.ruled (id int PRIMARY KEY, note text CHECK (app.fine(note)), at int DEFAULT app.sprung());
CREATE FUNCTION app.alike(a int, b int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN app.fine(a); END';
CREATE OPERATOR app.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = app.alike);
CREATE DOMAIN app.code_of_code AS app.code;
CREATE FUNCTION app.part_of(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM app.fine(n); RETURN 1; END';
CREATE TABLE app.by_operator (id int PRIMARY KEY, n int CHECK (n OPERATOR(app.===) 1));
CREATE TABLE app.twice_checked (id int PRIMARY KEY, n app.code_of_code);
CREATE TABLE app.whole (id int, n int) PARTITION BY LIST (app.part_of(id));
CREATE TABLE app.piece PARTITION OF app.whole FOR VALUES IN (1);
INSERT INTO app.by_operator VALUES (1, 1), (2, 1);
INSERT INTO app.twice_checked VALUES (1, 1), (2, 2);
INSERT INTO app.whole VALUES (1, 1), (2, 2);
CREATE TABLE app.also (id int PRIMARY KEY, note text);
CREATE RULE also AS ON UPDATE TO app.also DO ALSO SELECT app.sprung();
INSERT INTO app.also VALUES (1, 'note'), (2, 'other');
INSERT INTO app.coded SELECT g, 'note' FROM generate_series(1, 20) g;
INSERT INTO app.ruled SELECT g, 'note' FROM generate_series(1, 20) g;
"""
CLOSED = ("also", "by_operator", "twice_checked", "whole")
LOOKS = BOOK[: BOOK.index("          - {step: note")] + (
    "          - {step: note, sql: b.sql, undo: b.undo.sql}\n"
    "          - {step: fill, backfill: {table: app.coded, sql: fill.sql}, undo: nothing}\n"
    "checks:\n  quiet: {query: SELECT 0, expect: '= 0'}\n"
)


def test_what_a_domain_or_a_table_checks_is_not_called_by_what_only_looks(any_server: Server, make_project: Make) -> None:
    project = make_project(
        LOOKS,
        b__sql="ALTER TABLE app.ruled ADD COLUMN extra text DEFAULT 'x';\n"
        + "".join(f"ALTER TABLE app.{name} ADD COLUMN extra text DEFAULT 'x';\n" for name in CLOSED)
        + "CREATE TABLE app.copied (id int, extra text);\n",
        b__undo__sql="DROP TABLE app.copied;\nALTER TABLE app.ruled DROP COLUMN extra;\n"
        + "".join(f"ALTER TABLE app.{name} DROP COLUMN extra;\n" for name in CLOSED),
        # it writes another table, so that a key of the domain is only compared
        fill__sql="INSERT INTO app.copied SELECT c.id, 'x' FROM app.coded c WHERE gonogo.batch('c');\n",
    )
    with laid(any_server, CHECKED) as (url, role):
        for command in (("rehearse", "--blind-spots"), ("run", "--without-prefect"), ("rollback", "--without-prefect")):
            done = gonogo(command[0], "book", *command[1:], cwd=project, env=environment(TEST_URL=url))
            assert done.returncode in (0, 11), done.stdout + done.stderr
            assert not sprang(url, role), f"{command}: it sprang"


VIEW = """
CREATE TABLE app.true_orders (id int PRIMARY KEY, total int);
INSERT INTO app.true_orders SELECT g, g FROM generate_series(1, 20) g;
CREATE VIEW app.orders AS SELECT id, total + app.sprung() AS total FROM app.true_orders WHERE app.sprung() = 1;
"""
COUNTS = """
runbook: book
targets: {db: {database: $TEST_URL}}
baseline: [many, same, positive, known]
phases:
  - phase: one
    gate: {go_if: [quiet]}
    tasks:
      - task: work
        steps: [{backfill: {table: app.orders, key: id, sql: fill.sql}, undo: nothing}]
    verify: [many, same, positive, known]
checks:
  quiet: {query: SELECT 0, expect: "= 0"}
  many: {rows: app.orders, expect: ">= 0"}
  same: {checksum: app.orders, expect: unchanged}
  positive: {values: {table: app.orders, columns: total, min: 0}, expect: "= 0"}
  known: {orphans: [{child: app.orders.id, parent: app.true_orders.id}], expect: "= 0"}
"""


def test_a_view_that_took_the_place_of_a_table_is_not_read(any_server: Server, make_project: Make) -> None:
    with laid(any_server, VIEW) as (url, role):
        for book in (COUNTS, COUNTS.replace("baseline: [many, same, positive, known]\n", "")):
            project = make_project(book, fill__sql="UPDATE app.true_orders o SET total = total WHERE gonogo.batch('o');\n")
            done = gonogo("run", "book", "--without-prefect", cwd=project, env=environment(TEST_URL=url))
            assert "app.orders is a view that belongs to" in done.stdout + done.stderr, done.stdout + done.stderr
            assert done.returncode in (10, 11), done.stdout
            assert not sprang(url, role)


EQUAL = """
CREATE FUNCTION app.same(a varchar, b varchar) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN PERFORM app.sprung(); RETURN true; END';
CREATE OPERATOR app.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = app.same);
CREATE TABLE app.owner (id varchar PRIMARY KEY);
CREATE TABLE app.thing (id int PRIMARY KEY, owner varchar);
INSERT INTO app.owner VALUES ('a');
INSERT INTO app.thing VALUES (1, 'a');
"""
EQUALS = """
runbook: book
targets: {db: {database: $TEST_URL}}
phases:
  - phase: one
    gate: {go_if: [known, named]}
    tasks:
      - task: work
        steps: [{sql: a.sql, undo: nothing}]
checks:
  known: {orphans: [{child: app.thing.owner, parent: app.owner.id}], expect: "= 0"}
  named: {values: {table: app.thing, columns: owner, one_of: [a, b]}, expect: "= 0"}
"""


def test_an_operator_for_types_of_postgresqls_own_that_fits_better_is_not_called(any_server: Server, make_project: Make) -> None:
    with laid(any_server, EQUAL) as (url, role):
        with psycopg.connect(url, autocommit=True) as connection:
            name = sql.Identifier(connection.info.dbname)
            connection.execute(sql.SQL("ALTER DATABASE {} SET search_path TO app, public").format(name))
        project = make_project(EQUALS, a__sql="SELECT 1;\n")
        done = gonogo("run", "book", "--without-prefect", cwd=project, env=environment(TEST_URL=url))
        assert done.returncode == 10, done.stdout + done.stderr
        assert done.stdout.count("comparing its values would run that role's code") >= 2, done.stdout
        assert not sprang(url, role)


def test_no_view_is_read_that_takes_the_place_of_a_table_while_that_is_waited_for(any_server: Server) -> None:
    url = any_server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (n int); CREATE VIEW v AS SELECT * FROM t")
        check = Check.model_validate({"rows": "public.t", "expect": "= 0"})
        with (
            asking(Question(name="c", check=check), connection),
            pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="non-system view"),
        ):
            connection.execute("SELECT count(*) FROM public.v")
        assert connection.execute("SELECT count(*) FROM public.v").fetchone() == (0,)


#: a ledger that somebody made before gonogo did
PLANTED = """
CREATE SCHEMA gonogo;
COMMENT ON SCHEMA gonogo IS 'gonogo ledger {version}';
CREATE TABLE gonogo.run (id text, runbook text, target text, opened timestamptz, seq bigint);
CREATE FUNCTION gonogo.append(text, text, text, json, boolean) RETURNS text LANGUAGE plpgsql AS
  'BEGIN PERFORM app.sprung(); RETURN NULL; END';
"""


def test_a_superuser_does_not_work_by_a_ledger_that_somebody_else_made(any_server: Server, make_project: Make) -> None:
    with laid(any_server, "SELECT 1") as (url, role):
        with psycopg.connect(url, autocommit=True) as connection:
            name = sql.Identifier(connection.info.dbname)
            connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(name, sql.Identifier(role)))
        with psycopg.connect(url, user=role, autocommit=True) as owner:
            owner.execute(PLANTED.replace("{version}", str(VERSION)).encode())
        project = make_project(EQUALS, a__sql="SELECT 1;\n")
        for command in ("run", "status", "rehearse"):
            done = gonogo(command, "book", cwd=project, env=environment(TEST_URL=url))
            assert (done.returncode, f"belongs to {role}, and you work as a superuser" in done.stderr) == (3, True), done.stderr
            assert not sprang(url, role)
