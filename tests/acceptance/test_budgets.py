"""Budgets and the calendar on a real database: what was down is counted over phases and processes, and a spent budget stops."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import psycopg
import pytest
from support.command import environment, gonogo, start

from gonogo import Kind, read_ledger, read_run

Make = Callable[..., Path]
BOOK = """
runbook: book
targets: {{db: {{database: $TEST_URL}}, other: {{database: $TEST_URL}}}}
inputs: {{limit: {{default: 5}}, who: {{default: anna}}}}
people: {{owner: {{name: Owner, roles: [boss]}}, dba: {{name: Dba}}}}
schedule: {{override: [boss]}}
budgets: {{downtime: {downtime}}}
risk: {{level: medium, why: A table is locked.}}
phases:
  - phase: close
    tasks:
      - {{task: shut, downtime: true, steps: [{{sql: shut.sql, undo: nothing}}]}}
      - {{task: move, downtime: true, takes: {takes}, steps: [{{sql: slow.sql, undo: nothing}}]}}
      - {{task: tidy, steps: [{{sql: slow.sql, undo: nothing}}]}}
  - phase: lock
    {at}
    tasks:
      - {{task: lock, steps: [{{sql: lock.sql, undo: lock.undo.sql}}, {{check: [only there]}}]}}
checks:
  only there: {{query: "SELECT 1 / 0", only_on: [other], expect: "= 0"}}
  few: {{query: "SELECT count(*) - {{{{ limit }}}} FROM orders WHERE by = {{{{ who | literal }}}}", expect: "= 0"}}
success: [{{criterion: Down for a minute at most, budget: downtime}}]
"""


class Desk:
    def __init__(self, make: Make, url: str, root: Path) -> None:
        self.make, self.url, self.root = make, url, root
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE orders (id int, by text)")

    def book(self, downtime: str = "1m", takes: str = "1s", at: str = "", text: str = BOOK) -> None:
        slow, lock = "SELECT pg_sleep(0.6);\n", "ALTER TABLE orders ADD at date; SELECT pg_sleep(0.4);\n"
        self.make(
            text.replace("only there", "only_there").format(downtime=downtime, takes=takes, at=at),
            shut__sql="SELECT 1;\n",
            slow__sql=slow,
            lock__sql=lock,
            lock__undo__sql="ALTER TABLE orders DROP at;\n",
        )

    def __call__(self, *command: str) -> CompletedProcess[str]:
        return gonogo(*command, cwd=self.root, env=environment(TEST_URL=self.url))

    def run(self, *more: str) -> CompletedProcess[str]:
        return self("run", "book", "--without-prefect", *more)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("status", "book", "--json").stdout)
        return found


@pytest.fixture
def desk(make_project: Make, url: str, tmp_path: Path) -> Desk:
    return Desk(make_project, url, tmp_path)


def test_downtime_is_counted_over_phases_and_processes_and_stands_in_the_report(desk: Desk) -> None:
    desk.book()
    assert desk.run("--phase", "close").returncode == 0
    first = desk.status()["budgets"]["downtime"]
    assert 0.6 <= first["used"] < 5, "from the first task that is down to the end of the second, and not the third"
    assert first["budget"] == 60
    assert not first["counting"]
    done = desk.run("--phase", "lock")
    assert done.returncode == 0, done.stdout + done.stderr
    total = desk.status()["budgets"]["downtime"]
    assert first["used"] + 0.4 <= total["used"] < first["used"] + 3, "and for as long as readers were locked out"
    assert "downtime:" in desk("status", "book").stdout
    report = desk("report", "book", "--format", "md").stdout
    assert re.search(r"\| downtime \| [\d.]+s of 1m \|", report), "and does not say its name twice"
    assert "Down for a minute at most | **met**" in report
    assert "risk | medium: A table is locked." in report


def test_a_spent_budget_holds_the_run_before_the_next_step_until_a_person_goes_on(desk: Desk) -> None:
    desk.book(downtime="300ms", takes="0s", text=BOOK.replace("{{task: lock, ", "{{task: lock, downtime: true, takes: 1s, "))
    done = desk.run()
    assert done.returncode == 4, done.stdout + done.stderr
    assert "of 300ms are used, and the application is up" in done.stdout
    held = desk("resume", "book", "--without-prefect")
    assert held.returncode == 10, "the next phase has no room left"
    assert "the budget is 300ms in all; boss may --override with a reason" in held.stdout
    assert desk.run("--phase", "lock", "--as", "dba", "--override", "I want to").returncode == 3
    done = desk.run("--phase", "lock", "--as", "owner", "--override", "the shop is closed on Sunday anyway")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "**not met**" in desk("report", "book", "--format", "md").stdout


def test_a_phase_that_is_planned_to_go_beyond_the_budget_is_no_go_and_nothing_was_changed(desk: Desk) -> None:
    desk.book(downtime="1m", takes="2m")
    done = desk.run()
    assert done.returncode == 10, done.stdout + done.stderr
    assert "0ms are used, and this phase is expected to need 2m; the budget is 1m in all" in done.stdout
    assert "2m planned" in desk("plan", "book").stdout


def test_a_rehearsal_says_how_long_each_phase_locks_people_out(desk: Desk) -> None:
    desk.book(downtime="500ms", takes="0s", text=BOOK + "rehearsal: {{fresh_for: 1d}}\nbackup: {{keep: 1d}}\n")
    assert desk("rehearse", "book").returncode == 0
    done = desk.run()
    assert done.returncode == 10, done.stdout + done.stderr
    assert "this phase is expected to need" in done.stdout


def test_a_phase_with_a_day_of_its_own_waits_for_it(desk: Desk) -> None:
    desk.book(at="at: T+4s")
    done = desk.run()
    assert done.returncode == 0, done.stdout + done.stderr
    run = read_run(desk.url, read_ledger(desk.url)[0])
    opens = run.plan.phases[-1].opens
    assert opens == run.plan.start + timedelta(seconds=4)
    assert [event.at for event in run.events if event.kind is Kind.GO][-1] > opens, "the ledger's clock says that it waited"
    desk.book(at="at: 2099-01-01T20:00")
    assert "lock: 2099-01-01 20:00" in desk("plan", "book").stdout
    process = start("run", "book", "--without-prefect", "--again", cwd=desk.root, env=environment(TEST_URL=desk.url))
    # the gate of the phase before is passed, too
    while process.poll() is None and [desk.status()[word] for word in ("status", "phase")] != ["gating", "lock"]:
        time.sleep(0.2)
    process.terminate()
    process.communicate(timeout=180)
    assert desk.status()["phase"] == "lock"


def test_a_check_of_another_target_is_left_out_and_one_written_in_the_runbook_takes_inputs(desk: Desk) -> None:
    text = BOOK.replace(
        "    tasks:\n      - {{task: lock", "    gate: {{go_if: [few, only there]}}\n    tasks:\n      - {{task: lock"
    )
    desk.book(text=text)
    with psycopg.connect(desk.url, autocommit=True) as connection:
        connection.execute("INSERT INTO orders SELECT g, 'o''brien' FROM generate_series(1, 7) g")
    refused = desk.run("--input", "who=o'brien")
    assert refused.returncode == 10
    assert "few: 2 is not = 0" in refused.stdout
    with psycopg.connect(desk.url, autocommit=True) as connection:
        connection.execute("DELETE FROM orders WHERE id > 5")
    done = desk.run("--input", "who=o'brien")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "only_there" not in desk("plan", "book").stdout
    assert "only_there" in desk("plan", "book", "--target", "other").stdout
    assert "22012 division by zero" in desk("check", "book", "only_there", "--target", "other").stdout
    elsewhere = desk("check", "book", "only_there", "--target", "db")
    assert elsewhere.returncode == 2
    assert "the check 'only_there' is asked on other only, not on db" in elsewhere.stderr
    assert desk("check", "book", "--target", "db", "--input", "who=o'brien").returncode == 0
