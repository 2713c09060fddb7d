"""What a script leaves in its session reaches no other script, and nobody else waits for it."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from support.desk import BOOK, Desk, lay
from support.servers import Server

#: everything that outlives a transaction in a session
LEAVES = """
SELECT pg_advisory_lock(4711);
CREATE TEMPORARY TABLE shadow (id int);
PREPARE leftover AS SELECT 1;
DECLARE held CURSOR WITH HOLD FOR SELECT generate_series(1, 10);
SELECT set_config('work_mem', '123kB', false), set_config('lock_timeout', '0', false), nextval('numbers');
LISTEN somebody;
"""
SEES = """
CREATE TABLE seen AS SELECT
  (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711) AS locks,
  to_regclass('pg_temp.shadow') IS NOT NULL AS shadow,
  (SELECT count(*) FROM pg_prepared_statements WHERE name = 'leftover') AS prepared,
  (SELECT count(*) FROM pg_cursors WHERE name = 'held') AS cursors,
  current_setting('work_mem') = '123kB' OR current_setting('lock_timeout') = '0' AS settings,
  (SELECT count(*) FROM pg_listening_channels() AS c WHERE c = 'somebody') AS listening,
  (SELECT application_name ~ '^gonogo/book-[^/]+/1$' FROM pg_stat_activity WHERE pid = pg_backend_pid()) AS named;
"""


@pytest.fixture
def desk(make_project: Callable[..., object], any_server: Server) -> Callable[..., Desk]:
    return lambda book=BOOK, **files: lay(make_project, any_server, book, **files)  # type: ignore[arg-type]


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


@pytest.mark.parametrize("alone", [False, True], ids=["in a transaction", "alone"])
def test_what_a_script_leaves_in_its_session_reaches_no_other_script(desk: Callable[..., Desk], alone: bool) -> None:
    leaves = f"CREATE SEQUENCE IF NOT EXISTS numbers; {LEAVES}"
    if alone:
        # its statements run one by one, each in doubt by itself
        leaves = "CREATE SEQUENCE IF NOT EXISTS numbers;\nSELECT pg_advisory_lock(4711);\nVACUUM item;\n"
    here = desk(a__sql=leaves, a__undo__sql="DROP SEQUENCE numbers;\n", b__sql=SEES, b__undo__sql="DROP TABLE seen;\n")

    done = here("run", "book", "--without-prefect")

    assert done.returncode == 0, done.stdout + done.stderr
    assert rows(here.url, "SELECT * FROM seen") == [(0, False, 0, 0, False, 0, True)]


def test_what_a_script_that_failed_left_is_gone_too(desk: Callable[..., Desk]) -> None:
    here = desk(
        a__sql="SELECT 1;\n",
        a__undo__sql=SEES,
        b__sql="SELECT pg_advisory_lock(4711); SELECT 1 / 0;\n",
    )

    done = here("run", "book", "--without-prefect")

    assert done.returncode in (11, 12), done.stdout + done.stderr
    assert rows(here.url, "SELECT locks FROM seen") == [(0,)]
