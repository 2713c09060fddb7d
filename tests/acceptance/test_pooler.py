"""A pooler that gives each session its own connection will do, with every limit; one that shares them is refused, and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from support.command import environment, gonogo
from support.pooler import PGBOUNCER, pooling
from support.servers import Server

from gonogo.core.model.runbook import SqlSettings
from gonogo.postgres.connection import Database, as_the_role_sees

Make = Callable[..., Path]
pytestmark = pytest.mark.skipif(not PGBOUNCER.is_file(), reason="PgBouncer is not installed (Debian: apt-get install pgbouncer)")
#: fails where a session lacks what gonogo gives each
LIMITED = (
    "DO $$ BEGIN IF current_setting('lock_timeout') <> '3s' OR current_setting('statement_timeout') <> '50s'"
    " OR current_setting('idle_in_transaction_session_timeout') <> '1min' OR current_setting('TimeZone') <> 'UTC'"
    " OR current_setting('search_path') <> '\"$user\", public'"
    " THEN RAISE 'no limits'; END IF; END $$;\n"
)
BOOK = """
runbook: book
targets: {db: {database: $TEST_URL%s}}
sql: {lock_timeout: 3s, statement_timeout: 50s%s}
backup: {}
rehearsal: {}
baseline: [kept]
phases:
  - phase: one
    tasks:
      - task: one
        steps:
          - {sql: one.sql, undo: one.undo.sql}
          - {sql: alone.sql, undo: alone.undo.sql}
          - {backfill: {table: item, sql: fill.sql.j2, batch: 20}, undo: fill.undo.sql}
          - {step: last, sql: two.sql, undo: two.undo.sql}
    verify: [kept]
    watch: [quick]
    every: 1s
    soak: 2s
checks:
  kept: {query: SELECT count(*) FROM item, expect: unchanged}
  quick: {time: quick.sql, samples: 5, roll_back_if: "p95 > 5000"}
"""
FILES = {
    "quick__sql": "SELECT count(*) FROM item\n",
    "one__sql": f"{LIMITED}CREATE TABLE made (id int); ALTER TABLE item ADD COLUMN extra int;\n",
    "one__undo__sql": f"{LIMITED}ALTER TABLE item DROP COLUMN extra; DROP TABLE made;\n",
    "alone__sql": "CREATE INDEX CONCURRENTLY item_note ON item (note);\n",
    "alone__undo__sql": "DROP INDEX CONCURRENTLY item_note;\n",
    "fill__sql__j2": "UPDATE item SET extra = 1 WHERE {{ batch }};\n",
    "fill__undo__sql": f"{LIMITED}UPDATE item SET extra = NULL;\n",
    "two__sql": f"{LIMITED}ALTER TABLE made ADD COLUMN more text;\n",
    "two__undo__sql": f"{LIMITED}ALTER TABLE made DROP COLUMN more;\n",
}


@pytest.fixture
def item(other_when_long: Server) -> Iterator[str]:
    """A database with a small table."""
    url = other_when_long.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE item (id int PRIMARY KEY, note text); INSERT INTO item SELECT g, 'n' FROM generate_series(1, 99) g"
        )
    yield url
    other_when_long.forget(url, f"worker_{url.split('/')[3].split('?')[0]}")


@pytest.mark.parametrize("drops", [True, False], ids=["drops settings", "refuses settings"])
def test_behind_a_pooler_in_session_mode_a_run_goes_forward_and_back(item: str, make_project: Make, *, drops: bool) -> None:
    root = make_project(BOOK % ("", ""), **FILES)
    with pooling(item, "session", drops_options=drops) as through:
        env = environment(TEST_URL=through)
        for command, code in (
            (["rehearse", "book"], 0),
            (["run", "book", "--without-prefect"], 0),
            (["rollback", "book", "--without-prefect", "--reason", "a test", "--accept-loss"], 11),
        ):
            ran = gonogo(*command, cwd=root, env=env)
            assert ran.returncode == code, ran.stdout + ran.stderr


def test_a_pooler_in_transaction_mode_is_refused_with_the_way_out_which_leads_to_the_target(
    item: str, make_project: Make
) -> None:
    root = make_project(BOOK % ("", ""), **FILES)
    with pooling(item, "transaction") as through:
        refused = gonogo("run", "book", "--without-prefect", cwd=root, env=environment(TEST_URL=through))
        assert refused.returncode == 3, refused.stdout + refused.stderr
        assert "a pooler in transaction mode is in front of the target (" in refused.stderr
        assert "`direct: $NAME` beside `database:`" in refused.stderr
        make_project(re.sub(r"(?m)^(backup|rehearsal): .*\n", "", BOOK % (", direct: $DIRECT", "")), **FILES)
        done = gonogo("run", "book", "--without-prefect", cwd=root, env=environment(TEST_URL=through, DIRECT=item))
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_a_pooler_drops_of_the_runbook_and_of_the_address_holds_all_the_same(item: str, make_project: Make) -> None:
    name = item.split("/")[3].split("?", maxsplit=1)[0]
    with psycopg.connect(item, autocommit=True) as connection:
        connection.execute(
            f"CREATE ROLE worker_{name} NOLOGIN; GRANT CREATE ON DATABASE {name} TO worker_{name};"
            f' CREATE SCHEMA "My, app" AUTHORIZATION worker_{name}; ALTER TABLE item SET SCHEMA "My, app";'
            f' ALTER TABLE "My, app".item OWNER TO worker_{name}'.encode()
        )
    wrong = "current_setting('work_mem') <> '8123kB' OR current_user NOT LIKE 'worker%'"
    holds = f"DO $$ BEGIN IF {wrong} THEN RAISE 'no'; END IF; END $$;\n"
    files = {name: text.replace(LIMITED, holds) for name, text in FILES.items()}
    book = BOOK % (f", role: worker_{name}", """, search_path: '"My, app", public'""")
    root = make_project(re.sub(r"(?m)^(backup|rehearsal): .*\n", "", book), **files)
    with pooling(item, "session") as through:
        env = environment(TEST_URL=f"{through}?options=-cwork_mem%3D8123kB")
        for command, code in ((["run", "book"], 0), (["rollback", "book", "--reason", "a test", "--accept-loss"], 11)):
            ran = gonogo(*command, "--without-prefect", cwd=root, env=env)
            assert ran.returncode == code, ran.stdout + ran.stderr
        refused = gonogo("check", "book", "kept", cwd=root, env=environment(TEST_URL=f"{through}?options=-e"))
        assert refused.returncode == 3, refused.stdout + refused.stderr
        assert "so that the options of its address would be lost" in refused.stderr


def test_in_a_shared_session_nothing_is_set_that_somebody_else_would_have(item: str, make_project: Make) -> None:
    root = make_project(BOOK % (", role: postgres", ""), **FILES)
    with pooling(item, "transaction") as through:
        for command in (["grants", "book"], ["doctor", "--target", "db"], ["check", "book", "kept"], ["status", "book"]):
            refused = gonogo(*command, cwd=root, env=environment(TEST_URL=through))
            assert refused.returncode == 3, refused.stdout + refused.stderr
            assert "a pooler in transaction mode is in front of the target (" in refused.stderr, refused.stderr
        with psycopg.connect(through, autocommit=True) as application:
            row = application.execute(
                "SELECT current_setting('search_path'), current_setting('lock_timeout'), current_setting('row_security'),"
                " current_setting('role')"
            ).fetchone()
        assert row == ('"$user", public', "0", "on", "none")


def test_what_a_pooler_keeps_of_the_settings_says_nothing_of_the_others(item: str) -> None:
    with pooling(item, "session") as through:
        database = Database(url=through, role="postgres")
        with database.connect("test", SqlSettings(lock_timeout=timedelta(seconds=3))) as connection:
            kept = {"lock_timeout": "3s", "row_security": "off", "application_name": "test", "role": "postgres"}
            for name, expected in kept.items():
                assert connection.execute("SELECT current_setting(%s)", [name]).fetchone() == (expected,)


def test_an_option_of_an_address_counts_however_it_is_written(item: str) -> None:
    with pooling(item, "session") as through:
        url = f"{through}?options=-c%20Search_Path%3Dapp_s%20--Work-Mem%3D8123kB"
        with Database(url=url).connect("test") as connection, as_the_role_sees(connection):
            assert connection.execute("SELECT current_setting('search_path')").fetchone() == ("app_s",)
            assert connection.execute("SELECT current_setting('work_mem')").fetchone() == ("8123kB",)
