"""A small shop, a runbook that changes it, and the commands in its project."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import psycopg

from support.command import environment, gonogo
from support.servers import Server

Make = Callable[..., Path]


BOOK = """
runbook: book
targets: {db: {database: $TEST_URL}}
phases:
  - phase: one
    gate: {go_if: [quiet]}
    tasks:
      - task: work
        steps:
          - {step: first, sql: a.sql, undo: a.undo.sql}
          - {step: second, sql: b.sql, undo: b.undo.sql}
checks:
  quiet: {sql: quiet.sql, expect: "= 0"}
"""


BEFORE = """
CREATE TABLE item (id int PRIMARY KEY, name text NOT NULL, price numeric DEFAULT 1);
CREATE INDEX item_name ON item (name);
INSERT INTO item SELECT g, 'item ' || g, g FROM generate_series(1, 2000) g;
CREATE TABLE sale (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item int REFERENCES item);
INSERT INTO sale (item) SELECT g FROM generate_series(1, 500) g;
CREATE FUNCTION total() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM sale';
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER stamped BEFORE INSERT ON sale FOR EACH ROW EXECUTE FUNCTION stamp();
ALTER TABLE sale DISABLE TRIGGER stamped;
GRANT SELECT ON item TO PUBLIC;
"""


GOOD = {
    "a__sql": "ALTER TABLE item ADD COLUMN colour text;\n",
    "a__undo__sql": "ALTER TABLE item DROP COLUMN colour;\n",
    "b__sql": "CREATE TABLE extra AS SELECT id FROM item;\n",
    "b__undo__sql": "DROP TABLE extra;\n",
    "quiet__sql": "SELECT 0\n",
}


class Desk:
    """A project, and the commands in it."""

    def __init__(self, project: Path, url: str) -> None:
        self.project, self.url = project, url
        self.env = environment(TEST_URL=url)

    def __call__(self, *arguments: str) -> CompletedProcess[str]:
        done = gonogo(*arguments, cwd=self.project, env=self.env)
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        return done

    def rehearse(self, *more: str, code: int = 0) -> dict[str, Any]:
        done = self("rehearse", "book", "--json", *more)
        assert done.returncode == code, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def lay(make_project: Make, server: Server, book: str = BOOK, **files: str) -> Desk:
    url = server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(BEFORE)
    return Desk(make_project(book, **{**GOOD, **files}), url)
