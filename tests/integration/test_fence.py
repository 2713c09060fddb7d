"""One runner for a target: whoever else is there is told from this process, and a fence that nobody holds never stops anybody."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from support.servers import Server

from gonogo import clock
from gonogo.errors import TargetBusy
from gonogo.ledger import fence, store
from gonogo.ledger.schema import ledger_sql
from gonogo.postgres.connection import Connection, Database
from gonogo.recovery import data_loss


@pytest.fixture
def target(any_server: Server) -> Iterator[tuple[Database, Connection]]:
    """A database with an empty ledger."""
    database = Database(url=any_server.database())
    with database.connect("gonogo/book-000000/1") as connection:
        store.create(connection)
        yield database, connection


def test_a_process_of_the_same_number_on_a_machine_of_the_same_name_is_another_one(target: tuple[Database, Connection]) -> None:
    database, connection = target
    fence.claim(connection, "book-000000")
    code = (
        f"import os, platform; os.getpid = lambda: {os.getpid()}; platform.node = lambda: {platform.node()!r};"
        " from gonogo.ledger import fence; from gonogo.postgres.connection import Database;"
        f" fence.claim(Database(url={database.url!r}).connect('gonogo/book-000000/2'), 'book-000000', patience=0.5)"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180, check=False)

    assert other.returncode != 0
    assert "TargetBusy: the run book-000000 works on this target" in other.stderr


@pytest.mark.attack("in the way")
def test_a_strangers_session_under_the_number_of_a_runner_that_is_gone_stops_nobody(
    any_server: Server, target: tuple[Database, Connection]
) -> None:
    database, connection = target
    with psycopg.connect(any_server.url, autocommit=True, application_name="psql") as stranger:
        plain = f"plain_{os.getpid()}_{connection.info.backend_pid}"
        stranger.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(plain)))
        connection.execute(
            sql.SQL("GRANT ALL ON SCHEMA gonogo TO {0}; GRANT ALL ON ALL TABLES IN SCHEMA gonogo TO {0}").format(
                sql.Identifier(plain)
            )
        )
        connection.execute(
            "UPDATE gonogo.fence SET run = 'book-000000', pid = %s, backend_start = '2020-01-01', holder = 'process 7 on gone'",
            [stranger.info.backend_pid],
        )
        # a plain role does not see when another's session began
        with Database(url=database.url, role=plain).connect("gonogo/book-000000/2") as mine:
            began = clock.monotonic()
            assert fence.claim(mine, "book-000000", take_over=True) > 0
            assert clock.monotonic() - began < 5
    connection.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(plain)))


def test_a_runner_that_cannot_be_ended_is_named_and_waited_for_no_longer_than_stated(target: tuple[Database, Connection]) -> None:
    database, connection = target
    fence.claim(connection, "book-000000")
    with database.connect("gonogo/book-000001/1") as holder, database.connect("gonogo/book-000000/2") as mine:
        holder.execute("BEGIN")
        holder.execute("SELECT 1 FROM gonogo.fence FOR UPDATE")
        connection.close()
        with pytest.raises(TargetBusy, match="book-000000 works on this target"):
            fence.claim(mine, "book-000000", take_over=True, ending=1.0)


def test_each_error_of_our_own_has_a_code_of_its_own() -> None:
    codes = re.findall(r"ERRCODE = '(GN\d+)'", ledger_sql())
    assert len({*codes, data_loss.GREW}) == len(codes) + 1
    assert {store.FENCED, store.NO_SUCH_RUN, store.WENT_BACK} <= set(codes)
