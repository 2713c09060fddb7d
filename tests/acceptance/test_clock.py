"""A runner whose clock is off waits and soaks as long as the runbook says, by the target's clock, and says so."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from support.command import environment, gonogo

import gonogo as api
from gonogo.core.engine.events import Kind
from gonogo.personal_key import make

BOOK = """
runbook: book
title: Waits
targets: {db: {database: $TEST_URL}}
phases:
  - phase: one
    soak: 3s
    every: 1s
    tasks:
      - task: waits
        steps:
          - {wait: 2s}
          - {sql: one.sql, undo: nothing}
    watch: [one]
checks:
  one: {query: SELECT 1, expect: "= 1", roll_back_if: "> 1"}
"""
#: a machine whose clock is off by some seconds
OFF = """
import sys, time
from datetime import UTC, datetime, timedelta
from gonogo import clock
clock.now = lambda: datetime.now(UTC) + timedelta(seconds={off})
sys.argv = ["gonogo", *{command}]
from gonogo.cli import main
main()
"""


@pytest.mark.parametrize(("off", "word"), [(20, "20 s ahead of"), (3600, "3,600 s ahead of"), (-15, "15 s behind"), (0, "")])
def test_a_runner_whose_clock_is_off_waits_by_the_targets_and_says_so(
    off: int, word: str, url: str, make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_project(BOOK, one__sql="SELECT 1")
    done = subprocess.run(
        [sys.executable, "-c", OFF.format(off=off, command=["run", "book", "--without-prefect"])],
        cwd=root,
        env=environment(TEST_URL=url),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (word in done.stdout) if word else "clock is" not in done.stdout
    monkeypatch.setenv("TEST_URL", url)
    run = api.find(api.load(root / "runbooks" / "book.yaml"))
    at = {event.kind: event.at for event in run.events}
    steps = [event.at for event in run.events if event.kind is Kind.DONE]
    assert timedelta(seconds=1.9) <= steps[0] - at[Kind.GO] <= timedelta(seconds=8)
    assert timedelta(seconds=2.9) <= at[Kind.RUN_DONE] - at[Kind.VERIFIED] <= timedelta(seconds=9)
    assert len([event for event in run.events if event.kind is Kind.SAMPLE]) >= 3


ASKS = """
runbook: book
targets: {db: {database: $TEST_URL, protected: true}}
people: {lead: {name: Technical lead, roles: [technical_lead], key: KEY}}
backup: {waived: it is empty}
rehearsal: {waived: it does nothing}
phases:
  - phase: one
    gate: {approve: {roles: [technical_lead]}}
    tasks: [{task: one, steps: [{sql: one.sql, undo: nothing}]}]
"""


def test_who_votes_on_a_machine_whose_clock_is_off_is_told_and_the_vote_counts(
    url: str, make_project: Callable[..., Path], tmp_path: Path
) -> None:
    key = make(tmp_path / "key")
    root = make_project(ASKS.replace("KEY", f'"{key.public}"'), one__sql="SELECT 1")
    env = environment(TEST_URL=url, GONOGO_KEY=str(tmp_path / "key"))
    assert gonogo("run", "book", "--without-prefect", "--no-wait", "--as", "lead", cwd=root, env=env).returncode == 4
    script = OFF.format(off=3600, command=["go", "book", "--as", "lead"])
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, env=env, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "this machine's clock is 3,600 s ahead of the target's" in done.stderr
    done = gonogo("resume", "book", "--without-prefect", cwd=root, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
