"""What a script names without a schema is found where the role finds it by hand, on the target and on a rehearsal's copy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from support.command import environment, gonogo
from support.servers import Server

BOOK = """
runbook: book
title: Paths
targets: {db: {database: $TEST_URL}}
%s
baseline: [kept]
phases:
  - phase: one
    gate: {go_if: [few]}
    tasks:
      - task: one
        steps:
          - {sql: one.sql, undo: one.undo.sql}
          - {sql: alone.sql, undo: alone.undo.sql}
          - {backfill: {table: item, sql: fill.sql.j2, batch: 2}, undo: fill.undo.sql}
    verify: [few]
checks:
  few: {query: SELECT count(*) FROM item, expect: "= 3"}
  kept: {query: SELECT count(*) FROM item, expect: unchanged}
"""
FILES = {
    "one__sql": "CREATE TABLE made (id int); ALTER TABLE item ADD COLUMN extra int;\n",
    "one__undo__sql": "ALTER TABLE item DROP COLUMN extra; DROP TABLE made;\n",
    "alone__sql": "CREATE INDEX CONCURRENTLY item_note ON item (note);\n",
    "alone__undo__sql": "DROP INDEX CONCURRENTLY item_note;\n",
    "fill__sql__j2": "UPDATE item SET extra = 1 WHERE {{ batch }};\n",
    "fill__undo__sql": "UPDATE item SET extra = NULL;\n",
}


@pytest.mark.parametrize("how", ["database", "runbook"])
def test_names_without_a_schema_are_found_where_the_role_finds_them(
    other_when_long: Server, make_project: Callable[..., Path], how: str
) -> None:
    url = other_when_long.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE SCHEMA app; CREATE TABLE app.item (id int PRIMARY KEY, note text); INSERT INTO app.item VALUES (1), (2), (3);"
            " CREATE TABLE public.item (id int PRIMARY KEY, note text)"
        )
        if how == "database":
            name = sql.Identifier(connection.info.dbname)
            connection.execute(sql.SQL("ALTER DATABASE {} SET search_path = app, public").format(name))
    root = make_project(BOOK % ("sql: {search_path: 'app, public'}" if how == "runbook" else ""), **FILES)
    env = environment(TEST_URL=url)
    rehearsed = gonogo("rehearse", "book", "--each-step", "--json", cwd=root, env=env)
    assert rehearsed.returncode == 0, rehearsed.stdout + rehearsed.stderr
    done = gonogo("run", "book", "--without-prefect", cwd=root, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    checked = json.loads(gonogo("check", "book", "few", "--json", cwd=root, env=env).stdout)
    assert checked["verdict"] == "pass"
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(extra) FROM app.item").fetchone() == (3,)
        assert connection.execute(
            "SELECT to_regclass('app.made') IS NOT NULL, to_regclass('app.item_note') IS NOT NULL"
        ).fetchone() == (
            True,
            True,
        )
        assert connection.execute(
            "SELECT count(*) FROM pg_attribute WHERE attrelid = 'public.item'::regclass AND attname = 'extra'"
        ).fetchone() == (0,), "what is called the same elsewhere is left alone"
    back = gonogo("rollback", "book", "--without-prefect", "--reason", "a test", "--accept-loss", cwd=root, env=env)
    assert back.returncode == 11, back.stdout + back.stderr
