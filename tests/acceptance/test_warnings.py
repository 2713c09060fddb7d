"""What PostgreSQL warns of while a script runs is told and kept: the script may not have done what it says."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from support.command import environment, gonogo
from support.servers import Server

Make = Callable[..., Path]
BOOK = """
runbook: book
targets: {main: {database: $TEST_URL}}
phases:
  - phase: only
    soak: 0s
    tasks:
      - task: rights
        steps:
          - {sql: grant.sql, undo: grant.undo.sql}
          - {sql: quiet.sql, undo: nothing}
          - {sql: alone.sql, undo: nothing, again: safe}
"""
FILES = {
    # somebody else's table, and the right to grant nothing on it: PostgreSQL warns, and does nothing
    "grant__sql": "GRANT SELECT ON theirs TO PUBLIC;\n"
    "DO $$ BEGIN FOR i IN 1..30 LOOP RAISE WARNING 'number %', i % 25; END LOOP; END $$;\n",
    "grant__undo__sql": "DO $$ BEGIN RAISE WARNING 'as it goes back'; RAISE NOTICE 'of no matter'; END $$;\n",
    "quiet__sql": "DO $$ BEGIN RAISE NOTICE 'of no matter'; END $$;\n",
    "alone__sql": "VACUUM theirs;\n",
}


@pytest.fixture
def address(server: Server) -> str:
    """The address of a database in which a plain role may make a schema, and of a table only read."""
    url, role = server.database(), f"warned_{os.getpid()}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN".encode())
        connection.execute(f"GRANT CREATE, TEMPORARY ON DATABASE {url.split('/')[3].split('?')[0]} TO {role}".encode())
        connection.execute(f"CREATE TABLE theirs (id int); GRANT SELECT ON theirs TO {role} WITH GRANT OPTION".encode())
        connection.execute(f"REVOKE GRANT OPTION FOR SELECT ON theirs FROM {role}".encode())
    return make_conninfo(url, user=role)


def test_what_the_server_warns_of_is_told_and_kept(make_project: Make, address: str) -> None:
    folder = make_project(BOOK, **FILES)
    env = environment(TEST_URL=address)
    done = gonogo("run", "book", "--without-prefect", cwd=folder, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rights.1: PostgreSQL warns: no privileges were granted for" in done.stdout
    assert "number 19" in done.stdout
    assert "and 6 more" in done.stdout, "each text once: 26 of them, 20 told"
    assert "rights.3: PostgreSQL warns: permission denied to vacuum" in done.stdout
    assert "of no matter" not in done.stdout

    back = gonogo("rollback", "book", "--reason", "a test", cwd=folder, env=env)
    assert back.returncode == 11, back.stdout + back.stderr
    assert "the undo of rights.1: PostgreSQL warns: as it goes back" in back.stdout
    report = json.loads(gonogo("report", "book", "--json", cwd=folder, env=env).stdout)
    assert [(row["step"], row["direction"], row["count"]) for row in report["warnings"]] == [
        ("rights.1", "forward", 26),
        ("rights.3", "forward", 1),
        ("rights.1", "back", 1),
    ]
    for form in ("md", "html"):
        text = gonogo("report", "book", "--format", form, cwd=folder, env=env).stdout
        assert "no privileges were granted for" in text
        assert "rights.1, its undo: as it goes back" in text
    assert gonogo("ledger", "verify", "book", cwd=folder, env=env).returncode == 0
