"""The report and the documents of a run say what happened, from the ledger alone, and claim nothing that nobody measured."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from playwright.sync_api import sync_playwright
from support.browser import CHROMIUM, PATIENT, QUIET_CHROMIUM
from support.command import environment, gonogo
from support.control_room import require_chromium

Make = Callable[..., Path]
BOOK = """
runbook: book
title: A book
targets: {db: {database: $TEST_URL}}
backup: {}
people: {ann: {name: Ann, roles: [lead]}}
phases:
  - phase: one
    gate: {confirm: [{item: reviewed, title: The plan is reviewed, owner: lead, evidence: true}]}
    tasks:
      - {task: work, takes: 1ms, steps: [{step: column, sql: a.sql, undo: a.undo.sql}, {step: look, check: [there]}]}
    verify: [there]
    watch: [few]
    every: 100ms
    soak: 500ms
checks:
  there: {query: "SELECT count(*) FROM old WHERE added IS NULL", expect: ">= 0"}
  few: {query: SELECT 1, expect: "= 1", roll_back_if: "> 5"}
  asked_at_the_end: {query: SELECT 2, expect: "= 1"}
  no_answer: {query: SELECT NULL, expect: "= 1"}
success:
  - {criterion: The column is there, check: there}
  - {criterion: The plan was reviewed, item: reviewed, sort: business}
  - {criterion: Nobody verified this, check: asked_at_the_end, sort: security}
  - {criterion: Nobody knows this, check: no_answer}
  - {criterion: It was rehearsed, check: rehearsal_fresh}
  - {criterion: There is a backup, check: backup_proved}
"""


COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Desk:
    """A run that is done, and what is written of it."""

    def __init__(self, make: Make, url: str) -> None:
        self.url = url
        self.project = make(
            BOOK, a__sql="ALTER TABLE old ADD COLUMN added int;\n", a__undo__sql="ALTER TABLE old DROP COLUMN added;\n"
        )
        (self.project / ".git").mkdir()
        (self.project / ".git/HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
        (self.project / ".git/packed-refs").write_text(f"# pack-refs\n{COMMIT} refs/heads/main\n", encoding="utf-8")
        self("run", "book", "--without-prefect", "--no-wait", code=4)
        self("confirm", "book", "reviewed", "--as", "ann", "--evidence", "review 17")
        self("resume", "book", "--without-prefect")

    def __call__(self, *command: object, code: int = 0) -> CompletedProcess[str]:
        done = gonogo(*command, cwd=self.project, env=environment(TEST_URL=self.url))
        assert done.returncode == code, done.stdout + done.stderr
        return done

    @property
    def made(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("report", "book", "--format", "json").stdout)
        return found


@pytest.fixture
def desk(make_project: Make, old_url: str) -> Desk:
    return Desk(make_project, old_url)


def test_each_criterion_is_met_not_met_or_unknown_and_what_was_rolled_back_is_not_met(desk: Desk) -> None:
    answers = {row["criterion"]: row["answer"] for row in desk.made["success"]}
    known = {"Nobody verified this": "not met", "Nobody knows this": "unknown", "It was rehearsed": "unknown"}
    assert answers == {**known, "The column is there": "met", "The plan was reviewed": "met", "There is a backup": "met"}
    desk("rollback", "book", "--without-prefect", code=11)
    back = {row["criterion"]: row["answer"] for row in desk.made["success"]}
    assert back == {**known, **dict.fromkeys(("The column is there", "The plan was reviewed", "There is a backup"), "not met")}


def test_a_report_has_the_backup_with_its_command_the_locks_and_the_watch_and_needs_no_network(desk: Desk) -> None:
    made = desk.made
    assert made["backups"][0]["by_hand"].startswith("pg_restore --clean --if-exists")
    dump = made["backups"][0]["by_hand"].rsplit(" ", 1)[1]
    assert (Path(dump) / "toc.dat").is_file(), "what is to be copied is there"
    assert [(row["step"], row["lock"]) for row in made["locks"]] == [("work.column", "ACCESS EXCLUSIVE on old")]
    assert made["watch"][0]["samples"] > 0
    page = desk("report", "book", "--format", "html").stdout
    assert not re.search(r'(src|href)="?https?:', page)
    assert "Success criteria" in page
    assert "Lessons learned" in page


@pytest.mark.browser
def test_a_report_fits_a_phone_and_a_sheet_of_paper(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(desk("report", "book", "--format", "html").stdout, encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=require_chromium(CHROMIUM), args=QUIET_CHROMIUM)
        for width, media in ((390, "screen"), (1400, "screen"), (794, "print")):
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.emulate_media(media="print" if media == "print" else "screen")
            page.goto(file.as_uri(), timeout=PATIENT)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (width, media)
            assert page.get_by_role("heading", name="Timeline").is_visible()
        names = page.locator("[role=img]").evaluate_all("all => all.map(each => each.getAttribute('aria-label'))")
        browser.close()
    assert names
    assert all(names), "what is drawn says in words what it shows"


def test_the_same_ledger_makes_the_same_report_and_it_names_the_runbooks_commit(desk: Desk) -> None:
    made = desk.made
    assert made == desk.made
    assert made["commit"] == COMMIT


def test_the_documents_of_a_migration_are_written_with_their_digests(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    told = desk("report", "book", "--deliverables", folder).stdout
    names = {file.name for file in folder.iterdir()}
    assert names == {
        "SAFETY_CHECKLIST.md",
        "TASK_BREAKDOWN.md",
        "SQL_SCRIPTS.md",
        "TESTING_SCENARIOS.md",
        "COMPLETION_REPORT.md",
        "COMPLETION_REPORT.html",
        "LESSONS_LEARNED.md",
        "SHA256SUMS",
    }
    assert all(name in told for name in names)
    for line in (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    text = {name: (folder / name).read_text(encoding="utf-8") for name in names}
    assert re.search(r"- \[x\] The plan is reviewed \[lead\]: ann, .* \(review 17\)", text["SAFETY_CHECKLIST.md"])
    assert "ALTER TABLE old ADD COLUMN added int;" in text["SQL_SCRIPTS.md"]
    assert "ALTER TABLE old DROP COLUMN added;" in text["SQL_SCRIPTS.md"]
    assert "| asked_at_the_end | query | = 1 | - | at the end " in text["TESTING_SCENARIOS.md"]
    assert "A book took" in text["LESSONS_LEARNED.md"] or "work took" in text["LESSONS_LEARNED.md"]
