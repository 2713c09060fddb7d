"""kill -9 anywhere, then `gonogo resume`: the end is the uninterrupted run's, and nothing is done twice."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.command import environment, gonogo, start, status
from support.servers import Server, visit

from gonogo.ledger import chain as hashes
from gonogo.ledger import store
from gonogo.postgres.checksum import checksum
from gonogo.postgres.connection import Database
from gonogo.postgres.fingerprint import fingerprint
from gonogo.project import ROOT

BOOK = "guardian-multi-credit"
TABLES = ("plans", "organizations", "organization_credits", "credit_actions", "credit_consumption_log")
#: counts, in the database itself, what commits: every DDL command, and every row that the backfill touches
COUNTERS = """
CREATE SCHEMA counted;
CREATE TABLE counted.ddl (tag text, object text, at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION counted.note_ddl() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  INSERT INTO counted.ddl (tag, object)
  SELECT command_tag, object_identity FROM pg_event_trigger_ddl_commands() WHERE schema_name = 'public';
END $$;
CREATE EVENT TRIGGER note_ddl ON ddl_command_end EXECUTE FUNCTION counted.note_ddl();
CREATE TABLE counted.allocation (organization_id uuid);
CREATE SEQUENCE counted.touched;
CREATE FUNCTION counted.note_allocation() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  INSERT INTO counted.allocation VALUES (NEW.organization_id);
  -- a bystander can stop a batch in its middle by this lock
  IF nextval('counted.touched') = 1500 THEN PERFORM pg_advisory_xact_lock(42); END IF;
  RETURN NULL;
END $$;
"""
ALLOCATED = """
CREATE TRIGGER note_allocation AFTER UPDATE ON organization_credits FOR EACH ROW
  WHEN (OLD.credits_remaining = NEW.credits_remaining) EXECUTE FUNCTION counted.note_allocation()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The Guardian runbook, at a pace for tests."""
    source = (ROOT / "runbooks" / f"{BOOK}.yaml").read_text(encoding="utf-8")
    for theirs, ours in (
        ("demo: {database: embedded}", "demo: {database: $TEST_URL}"),
        ("every: 5s", "every: 300ms"),
        ("soak: 10m", "soak: 300ms"),
        ("samples: 40", "samples: 10"),
        # these tests count deeds: calls of half a millisecond on a busy machine must not roll a run back
        ("p50 > baseline + 50% in 3 of 5", "p50 > 1 s in 3 of 5"),
    ):
        assert theirs in source
        source = source.replace(theirs, ours)
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "runbooks" / f"{BOOK}.yaml").write_text(source, encoding="utf-8")
    (tmp_path / "sql_templates").symlink_to(ROOT / "sql_templates")
    return tmp_path


@pytest.fixture
def counted(server: Server, guardian: str) -> str:
    url = server.database(guardian)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(COUNTERS)
        connection.execute(ALLOCATED)
    return url


def end_of(url: str) -> dict[str, Any]:
    """Return all that a run leaves: schema, rows, and how often each thing was done."""
    with visit(Database(url=url)) as connection:
        return {
            "schema": fingerprint(connection).objects,
            "rows": {table: checksum(connection, table) for table in TABLES},
            "ddl": connection.execute("SELECT tag, object, count(*) FROM counted.ddl GROUP BY 1, 2 ORDER BY 1, 2").fetchall(),
            "allocated": connection.execute(
                "SELECT count(*), count(DISTINCT organization_id) FROM counted.allocation"
            ).fetchone(),
        }


def chain(url: str) -> tuple[int, list[str]]:
    with visit(Database(url=url)) as connection:
        return hashes.verify(connection, store.runs(connection)[0].id)


def victim(project: Path, url: str, event: int) -> int:
    command = [
        sys.executable,
        str(Path(__file__).parents[1] / "support" / "victim.py"),
        str(project / "runbooks" / f"{BOOK}.yaml"),
        str(event),
    ]
    return subprocess.run(command, env=environment(TEST_URL=url), timeout=180, check=False, capture_output=True).returncode


def without_probes(project: Path) -> None:
    """Leave out the checks that a bystander's lock would stop before the step that it is meant for."""
    file = project / "runbooks" / f"{BOOK}.yaml"
    source = file.read_text(encoding="utf-8")
    for theirs, ours in (
        (
            "go_if: [consumption_logged, function_failures, refusals, consume_latency_now, constraints_valid]",
            "go_if: [constraints_valid]",
        ),
        ("check: [consumption_logged, function_failures, refusals]", "check: [constraints_valid]"),
        ("watch: [consume_latency, function_failures, credits_lost, pools_drift]", "watch: []"),
        ("baseline: [consume_latency, credits_missing, orphans]", "baseline: [credits_missing, orphans]"),
        ("step: refusals, check: [refused_by_pool]", "step: refusals, check: [constraints_valid]"),
        ("sql: {statement_timeout: 10m}", "sql: {lock_timeout: 60s, statement_timeout: 10m}"),
        ("budgets: {downtime: 5s}", "budgets: {downtime: 5m}"),
    ):
        assert theirs in source
        source = source.replace(theirs, ours)
    file.write_text(source, encoding="utf-8")


def uninterrupted(server: Server, guardian: str, project: Path) -> dict[str, Any]:
    url = server.database(guardian)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(COUNTERS)
        connection.execute(ALLOCATED)
    assert victim(project, url, 10_000) == 0
    return end_of(url)


@pytest.mark.timeout(900)  # some two hundred processes, one after the other
def test_a_run_killed_after_any_fact_ends_as_an_uninterrupted_one_and_does_nothing_twice(
    server: Server, guardian: str, project: Path
) -> None:
    expected = uninterrupted(server, guardian, project)
    assert expected["allocated"] == (3000, 3000)
    assert all(count == 1 for tag, _, count in expected["ddl"] if tag != "ALTER TABLE")
    # each third of them in a short run; the long one leaves none out
    each = 1 if os.environ.get("GONOGO_LONG") else 3
    killed = 0
    for event in range(2, 200, each):
        url = server.database(guardian)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(COUNTERS)
            connection.execute(ALLOCATED)
        if victim(project, url, event) == 0:
            break
        killed += 1
        resumed = gonogo("resume", BOOK, "--without-prefect", cwd=project, env=environment(TEST_URL=url))
        assert resumed.returncode == 0, f"killed after event {event}: {resumed.stdout}{resumed.stderr}"
        assert end_of(url) == expected, f"killed after event {event}"
        count, problems = chain(url)
        assert problems == []
        assert count >= event
    assert killed >= 18 // each


@pytest.mark.parametrize(
    ("blocker", "step", "waiting"),
    [
        ("LOCK TABLE organization_credits IN SHARE MODE", "schema.add pools", "ALTER TABLE"),
        (
            "SELECT pg_advisory_lock(42)",
            "allocate.by plan",
            "UPDATE organization_credits",
        ),
        ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1", "performance.pool index", "CREATE INDEX CONCURRENTLY"),
    ],
    ids=["alter table", "backfill batch", "create index concurrently"],
)
def test_a_run_killed_inside_a_statement_ends_as_an_uninterrupted_one(
    server: Server, guardian: str, project: Path, counted: str, blocker: str, step: str, waiting: str
) -> None:
    expected = uninterrupted(server, guardian, project)
    without_probes(project)
    env = environment(TEST_URL=counted)
    with psycopg.connect(counted) as bystander:
        bystander.execute(blocker.encode())
        process = start("run", BOOK, "--at-once", "--without-prefect", cwd=project, env=env)
        try:
            wait_for_statement(counted, waiting)
        finally:
            process.kill()
            output, _ = process.communicate(timeout=180)
            print(output)
        wait_until_gone(counted, waiting)
        if "CONCURRENTLY" in waiting:
            assert invalid_indexes(counted) == ["credit_consumption_log_pool_idx"]
    resumed = gonogo("resume", BOOK, "--without-prefect", cwd=project, env=env)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert re.search(rf"{re.escape(step)}: .*done|committed", resumed.stdout)
    assert invalid_indexes(counted) == []
    found = end_of(counted)
    # an index that was dropped INVALID and built again was begun twice; everything else once
    assert found["allocated"] == expected["allocated"]
    assert found["schema"] == expected["schema"]
    assert found["rows"] == expected["rows"]
    if "CONCURRENTLY" not in waiting:
        assert found["ddl"] == expected["ddl"]


def test_ctrl_c_holds_the_run_says_how_to_go_on_and_resume_ends_it(server: Server, guardian: str, project: Path) -> None:
    import signal

    without_probes(project)
    expected_exit, url = 4, server.database(guardian)
    env = environment(TEST_URL=url)
    with psycopg.connect(url) as bystander:
        bystander.execute("LOCK TABLE organization_credits IN SHARE MODE")
        process = start("run", BOOK, "--at-once", "--without-prefect", cwd=project, env=env)
        wait_for_statement(url, "ALTER TABLE")
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=180)
    assert process.returncode == expected_exit, output
    assert "gonogo resume" in output
    assert "Traceback" not in output
    assert status(BOOK, project, env)["held"] == "interrupted: Ctrl-C"
    assert gonogo("resume", BOOK, "--without-prefect", cwd=project, env=env).returncode == 0


#: makes the terminal on its input its own, as a login does
IN_A_TERMINAL = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"
)


def test_a_terminal_that_is_closed_holds_the_run_as_ctrl_c_does(server: Server, guardian: str, project: Path) -> None:

    without_probes(project)
    url = server.database(guardian)
    env = environment(TEST_URL=url)
    ours, its = os.openpty()
    command = [sys.executable, "-m", "gonogo", "run", BOOK, "--at-once", "--without-prefect"]
    with psycopg.connect(url) as bystander:
        bystander.execute("LOCK TABLE organization_credits IN SHARE MODE")
        process = subprocess.Popen(
            [sys.executable, "-c", IN_A_TERMINAL, *command], cwd=project, env=env, stdin=its, stdout=its, stderr=its
        )
        os.close(its)
        wait_for_statement(url, "ALTER TABLE")
        os.close(ours)
        assert process.wait(timeout=180) == 4
    found = status(BOOK, project, env)
    assert found["held"] == "interrupted: its terminal was closed"
    assert not found["running"]
    assert gonogo("resume", BOOK, "--without-prefect", cwd=project, env=env).returncode == 0


@pytest.mark.parametrize("through", ["a pipe", "a terminal that is not its own"])
def test_a_run_goes_on_where_nobody_reads_its_output_any_more(server: Server, guardian: str, project: Path, through: str) -> None:

    without_probes(project)
    url = server.database(guardian)
    env = environment(TEST_URL=url)
    ours, its = os.pipe() if through == "a pipe" else os.openpty()
    with psycopg.connect(url) as bystander:
        bystander.execute("LOCK TABLE organization_credits IN SHARE MODE")
        command = [sys.executable, "-m", "gonogo", "run", BOOK, "--at-once", "--without-prefect"]
        process = subprocess.Popen(
            command, cwd=project, env=env, stdin=subprocess.DEVNULL, stdout=its, stderr=its, start_new_session=True
        )
        os.close(its)
        wait_for_statement(url, "ALTER TABLE")
        os.close(ours)
        bystander.rollback()
    assert process.wait(timeout=180) == 0
    found = status(BOOK, project, env)
    assert (found["status"], found["running"]) == ("done", False)


def test_two_runners_never_work_on_one_target(server: Server, guardian: str, project: Path) -> None:
    without_probes(project)
    url = server.database(guardian)
    env = environment(TEST_URL=url)
    with psycopg.connect(url) as bystander:
        bystander.execute("LOCK TABLE organization_credits IN SHARE MODE")
        first = start("run", BOOK, "--at-once", "--without-prefect", cwd=project, env=env)
        try:
            wait_for_statement(url, "ALTER TABLE")
            second = gonogo("resume", BOOK, "--without-prefect", cwd=project, env=env)
            assert second.returncode == 3
            assert "works on this target" in second.stderr
            assert "--take-over" in second.stderr
            bystander.rollback()
            third = gonogo("resume", BOOK, "--take-over", "--without-prefect", cwd=project, env=env)
            assert third.returncode == 0, third.stdout + third.stderr
        finally:
            output, _ = first.communicate(timeout=180)
    # the first one either had ended before it was taken over, or it stopped without changing anything more
    assert first.returncode in (0, 3), output
    with visit(Database(url=url)) as connection:
        done = connection.execute(
            "SELECT body->>'step', body->>'script', count(*) FROM gonogo.event WHERE kind = 'script done' GROUP BY 1, 2"
        ).fetchall()
    assert all(count == 1 for _, _, count in done)


def wait_for_statement(url: str, text: str, seconds: float = 60) -> None:
    query = (
        "SELECT 1 FROM pg_stat_activity WHERE query ILIKE %s AND wait_event_type = 'Lock' AND application_name LIKE 'gonogo/%%'"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(int(seconds / 0.05)):
            if connection.execute(query, [f"%{text}%"]).fetchone():
                return
            time.sleep(0.05)
    pytest.fail(f"no statement like {text!r} waits for a lock after {seconds} s")


def wait_until_gone(url: str, text: str, seconds: float = 60) -> None:
    query = "SELECT 1 FROM pg_stat_activity WHERE query ILIKE %s AND state = 'active' AND application_name LIKE 'gonogo/%%'"
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(int(seconds / 0.05)):
            if not connection.execute(query, [f"%{text}%"]).fetchone():
                return
            time.sleep(0.05)
    pytest.fail(f"the killed runner's statement {text!r} is still there after {seconds} s")


def invalid_indexes(url: str) -> list[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid").fetchall()
    return [row[0] for row in rows]


def test_two_runs_that_start_at_the_same_instant_do_the_work_once(server: Server, guardian: str, project: Path) -> None:
    without_probes(project)
    for _ in range(4):
        url = server.database(guardian)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(COUNTERS)
            connection.execute(ALLOCATED)
        env = environment(TEST_URL=url)
        pair = [start("run", BOOK, "--at-once", "--without-prefect", cwd=project, env=env) for _ in range(2)]
        outputs = [process.communicate(timeout=180)[0] for process in pair]

        assert sorted(process.returncode for process in pair) in ([0, 0], [0, 3]), outputs
        with psycopg.connect(url, autocommit=True) as connection:
            assert connection.execute("SELECT count(*) FROM gonogo.run").fetchone() == (1,), outputs
            assert connection.execute("SELECT count(*) FROM counted.allocation").fetchone() == (3000,), outputs
