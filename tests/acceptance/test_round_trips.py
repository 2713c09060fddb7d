"""Whole plans, forward and back, with live traffic: what the plan did is gone, and every row of the application is there."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from support.command import gonogo
from support.round_trips import NOISY, PLANS, Plan, lay, stock
from support.servers import Server

from gonogo.postgres import embedded
from gonogo.postgres.address import without_secrets
from gonogo.project import ROOT


@contextmanager
def traffic(plan: Plan, url: str) -> Iterator[Callable[[], int]]:
    """Let two clients work all the while; what is yielded ends them, and returns how many transactions they made."""
    file = ROOT / "sql_templates" / plan.name / "demo/traffic.sql"
    command = [
        str(embedded.program("pgbench")),
        "--no-vacuum",
        "--client=2",
        "--time=240",
        "--rate=60",
        "--max-tries=1",
        f"--file={file}",
    ]
    command.append(without_secrets(url))
    stopped: list[int] = []

    def stop() -> int:
        with psycopg.connect(url, autocommit=True) as connection:
            # its clients fail when their sessions end, and it counts what they had done
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgbench'")
        said, errors = process.communicate(timeout=180)
        stopped.append(1)
        assert "terminating connection due to administrator command" in errors, errors
        others = [line for line in errors.splitlines() if "ERROR" in line]
        assert not others, others
        found = re.search(r"transactions actually processed: (\d+)", said)
        assert found, said
        return int(found.group(1))

    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield stop
    finally:
        if not stopped:
            process.kill()
            process.communicate()


def assert_measured(plan: Plan, project: Path, env: dict[str, str]) -> None:
    """See that the report answers each criterion of the plan that a check can answer, and that none failed but by noise."""
    report = json.loads(gonogo("report", plan.name, "--format", "json", cwd=project, env=env).stdout)
    asked = [row for row in report["success"] if not row["why"].startswith(("not confirmed", "rehearsal_fresh"))]
    assert len(asked) >= 4
    assert not [row for row in asked if row["answer"] == "unknown"]
    assert not [row for row in asked if row["answer"] == "not met" and not row["why"].startswith(NOISY)]


#: each plan on 18, and one on 15; the others there are for those who ask
TRIPS = [
    pytest.param(
        plan,
        version,
        id=f"{plan.name}-{version}",
        marks=[] if version == "18" or plan.name == "guardian-multi-credit" else [pytest.mark.long],
    )
    for plan in PLANS
    for version in ("18", "15")
]


@pytest.mark.parametrize(("plan", "version"), TRIPS)
def test_forward_and_back_with_live_traffic_every_row_is_accounted_for(
    plan: Plan, version: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    server: Server = request.getfixturevalue("server" if version == "18" else "server_15")
    url, env = lay(plan, server, tmp_path)
    before = stock(url)
    with traffic(plan, url) as stop:
        done = gonogo("run", plan.name, "--without-prefect", "--at-once", cwd=tmp_path, env=env, timeout=200)
        assert done.returncode == 0, done.stdout + done.stderr
        assert_measured(plan, tmp_path, env)
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in plan.writes:
                connection.execute(statement.encode())

        first = re.findall(r"- phase: (\w+)", (tmp_path / "runbooks" / f"{plan.name}.yaml").read_text(encoding="utf-8"))[0]
        command = ["rollback", plan.name, "--without-prefect", "--reason", "tried", "--phase", first]
        done = gonogo(*command, cwd=tmp_path, env=env, timeout=200)
        assert (done.returncode == 4) is bool(plan.accounted), done.stdout + done.stderr
        said = done.stdout
        while done.returncode == 4:
            # where a busy machine leaves no time to measure all of it beforehand, the rest is asked as each undo runs
            done = gonogo(*command, "--continue", "--accept-loss", cwd=tmp_path, env=env, timeout=200)
            said += done.stdout
        for table in plan.accounted:
            assert table in said, said[-5000:]
        assert done.returncode == 11, done.stdout + done.stderr
        made = stop()

    after = stock(url)
    assert made > 100, "there was traffic"
    assert after.schema == before.schema
    assert after.columns == before.columns
    alive = {plan.adds_to, *plan.changes}
    assert {t: after.rows[t] for t in after.rows if t not in alive} == {t: before.rows[t] for t in before.rows if t not in alive}
    rows = {when: int(held.rows[plan.adds_to].split(":")[0]) for when, held in (("before", before), ("after", after))}
    assert rows["after"] - rows["before"] == made, "each call that was answered left its row, and nothing else did"
    with psycopg.connect(url, autocommit=True) as connection:
        for question, answer in plan.afterwards.items():
            row = connection.execute(question.encode()).fetchone()
            assert row == (answer,), question
