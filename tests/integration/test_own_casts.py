"""A cast that somebody made from a type of their own is found whatever the search path: nothing of gonogo's calls it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from support.command import environment, gonogo
from support.desk import Make
from support.servers import Server

from gonogo.postgres.own_types import why_not_compared

pytestmark = [pytest.mark.attack("objects in the target"), pytest.mark.timeout(300)]
#: a table with a column of a type whose casts and operators call what asks for what a superuser may
TRAP = """
CREATE FUNCTION app.sprung() RETURNS int LANGUAGE plpgsql AS $f$
BEGIN EXECUTE 'ALTER ROLE {role} SUPERUSER'; RETURN 1; EXCEPTION WHEN insufficient_privilege THEN RETURN 1; END $f$;
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


@pytest.fixture
def trapped(any_server: Server) -> Iterator[tuple[str, str]]:
    """A database in which somebody who may only make objects has laid the trap; its URL for a superuser, and who that is."""
    url, role = any_server.database(), f"caster_{os.getpid()}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN; CREATE SCHEMA app AUTHORIZATION {role}".encode())
        try:
            with psycopg.connect(url, user=role, autocommit=True) as owner:
                owner.execute(TRAP.format(role=role, labels=", ".join(f"'{n}'" for n in range(1, 21))).encode())
            yield url, role
        finally:
            connection.execute(f"ALTER ROLE {role} NOSUPERUSER; DROP OWNED BY {role} CASCADE; DROP ROLE {role}".encode())


def is_super(url: str, role: str) -> bool:
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
            assert is_super(url, role), query
            connection.execute(sql.SQL("ALTER ROLE {} NOSUPERUSER").format(sql.Identifier(role)))


@pytest.mark.parametrize("key", ["id", "n"])
def test_nothing_of_gonogos_calls_a_cast_of_somebody_elses(trapped: tuple[str, str], make_project: Make, key: str) -> None:
    url, role = trapped
    project: Path = make_project(BOOK.replace("KEY", key), **FILES)
    env = environment(TEST_URL=url)

    def do(*command: str) -> str:
        done = gonogo(*command, cwd=project, env=env)
        assert not is_super(url, role), f"{command}: it sprang"
        assert "Traceback" not in done.stdout + done.stderr
        return done.stdout + done.stderr

    told = do("run", "book", "--without-prefect")
    if key == "n":
        assert "app.wallet.n has the type app.odd" in told, told
        return
    for check in ("positive", "unique", "by_int", "by_type"):
        assert f"{check}: " in told
    assert told.count("to compare its values would run what they wrote") >= 4
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE app.wallet SET note = 'of the application' WHERE id < 4")
    do("rehearse", "book", "--blind-spots")
    do("status", "book")
    do("report", "book", "--format", "md")
    do("rollback", "book", "--without-prefect", "--continue")
    do("rollback", "book", "--without-prefect", "--continue", "--accept-loss")


def test_what_a_superuser_or_the_role_itself_wrote_is_compared(trapped: tuple[str, str]) -> None:
    url, role = trapped
    with psycopg.connect(url, autocommit=True) as connection:
        assert "app.wallet.n has the type" in why_not_compared(connection, "app.wallet")
        assert why_not_compared(connection, "app.wallet", ["id", "note"]) == ""
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        assert why_not_compared(connection, "app.wallet") == ""
