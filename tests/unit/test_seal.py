from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.prepared import prepare

from gonogo.core.plan.diff import changes
from gonogo.core.plan.plan import Plan
from gonogo.core.plan.seal import digest
from gonogo.planning.load import load_runbook
from gonogo.project import Project

RUNBOOK = """\
runbook: example
targets: {demo: {database: embedded}, other: {database: embedded}}
inputs: {pool: {default: ai}, rows: {default: 5}}
schedule: {zone: UTC, start: "2025-10-12T18:53", end_by: "23:00"}
phases:
  - phase: one
    gate: {go_if: [orphans]}
    soak: 10m
    tasks:
      - task: first
        takes: 15m
        steps:
          - {sql: forward.sql.j2, undo: back.sql}
          - {backfill: {table: t, sql: batch.sql.j2, batch: 100}, undo: nothing}
          - {sql: alone.sql, undo: nothing}
checks:
  orphans: {sql: check.sql, expect: "= 0"}
"""
FILES = {
    "forward.sql.j2": "-- one\nUPDATE t SET a = {{ pool | literal }}, b = 10;\nDELETE FROM u WHERE n > {{ rows }};\n",
    "back.sql": "UPDATE t SET a = NULL;\n",
    "batch.sql.j2": "UPDATE t SET c = 1 WHERE {{ batch }};\n",
    "alone.sql": "CREATE INDEX CONCURRENTLY i ON t (a);\nANALYZE t;\n",
    "check.sql": "SELECT count(*) FROM t WHERE a IS NULL\n",
}


class Desk:
    """A runbook and its templates, which can be edited and sealed again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.texts = {"runbook": RUNBOOK, **FILES}

    def edit(self, name: str, old: str, new: str) -> None:
        assert self.texts[name].count(old) == 1
        self.texts[name] = self.texts[name].replace(old, new)

    def plan(self, **given: Any) -> Plan:
        templates = self.root / "sql_templates" / "example"
        templates.mkdir(parents=True, exist_ok=True)
        for name, text in self.texts.items():
            file = self.root / "r.yaml" if name == "runbook" else templates / name
            file.write_text(text, encoding="utf-8")
        file = self.root / "r.yaml"
        return prepare(load_runbook(file), file, Project(root=self.root), **given).plan


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_plan_made_twice_has_one_seal(desk: Desk) -> None:
    assert desk.plan() == desk.plan()


def test_the_day_of_a_phase_counts_as_it_is_written_and_not_as_it_falls(desk: Desk) -> None:
    desk.edit("runbook", "  - phase: one\n", "  - phase: one\n    at: T+7d\n")
    first, later = desk.plan(), desk.plan(start=datetime(2025, 11, 1, tzinfo=UTC))
    assert first.phases[0].opens != later.phases[0].opens
    assert first.seal == later.seal
    assert changes(first, later, {}, {}) == []
    desk.edit("runbook", "at: T+7d", "at: T+8d")
    assert desk.plan().seal != first.seal
    assert len(desk.plan().seal) == 64


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("forward.sql.j2", "-- one\n", "-- quite another\n/* and\nmore */\n"),
        ("forward.sql.j2", "-- one\n", ""),
        ("forward.sql.j2", "UPDATE t SET a", "update T\n\n  set   A"),
        ("forward.sql.j2", "DELETE FROM u", "{# a note #}delete from u"),
        ("back.sql", "UPDATE", "-- back\nUPDATE"),
        ("batch.sql.j2", "UPDATE", "-- a batch\nUPDATE"),
        ("alone.sql", "ANALYZE", "\n\n-- fresh figures\nANALYZE"),
        ("alone.sql", "CREATE", "-- an index\n\nCREATE"),
        ("check.sql", "SELECT", "-- orphans\nSELECT"),
        ("runbook", "runbook: example\n", "# a note\nrunbook: 'example'\n"),
        ("runbook", "{sql: check.sql, expect", '{"sql": "check.sql",   expect'),
    ],
)
def test_comments_and_layout_do_not_break_the_seal(desk: Desk, name: str, old: str, new: str) -> None:
    before = desk.plan()
    desk.edit(name, old, new)
    after = desk.plan()
    assert after.seal == before.seal
    assert after.sources != before.sources, "that a file changed is known all the same"


@pytest.mark.parametrize(
    "start",
    [
        datetime(2025, 10, 12, 19, 53, tzinfo=UTC),
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2025, 10, 12, 18, 53, 0, 123456, tzinfo=UTC),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Rome", "Asia/Kolkata"])
def test_another_start_does_not_break_the_seal(desk: Desk, zone: str, start: datetime) -> None:
    desk.edit("runbook", "zone: UTC", f"zone: {zone}")
    before = desk.plan()
    after = desk.plan(start=start)
    assert after.start == start != before.start
    assert after.seal == before.seal


def test_a_start_and_an_end_written_otherwise_do_not_break_the_seal(desk: Desk) -> None:
    before = desk.plan().seal
    desk.edit("runbook", "2025-10-12T18:53", "2031-02-03T04:05")
    desk.edit("runbook", "23:00", "09:00")
    assert desk.plan().seal == before


EDITS: list[tuple[str, str, str]] = [
    ("forward.sql.j2", "b = 10", "b = 11"),
    ("forward.sql.j2", "n >", "n >="),
    ("forward.sql.j2", "DELETE FROM u", "DELETE FROM v"),
    ("forward.sql.j2", "-- one\nUPDATE", "DROP TABLE w; UPDATE"),
    ("back.sql", "NULL", "'x'"),
    ("batch.sql.j2", "c = 1", "c = 2"),
    ("alone.sql", "(a)", "(b)"),
    ("alone.sql", "CONCURRENTLY i", "CONCURRENTLY j"),
    ("check.sql", "IS NULL", "IS NOT NULL"),
    ("runbook", '"= 0"', '"<= 1"'),
    ("runbook", "go_if: [orphans]", "go_if: []"),
    ("runbook", "forward.sql.j2, undo: back.sql", "forward.sql.j2, undo: nothing"),
    ("runbook", "forward.sql.j2, undo: back.sql", "forward.sql.j2"),
    ("runbook", "forward.sql.j2, undo: back.sql", "[forward.sql.j2, back.sql], undo: back.sql"),
    ("runbook", "batch: 100", "batch: 200"),
    ("runbook", "table: t", "table: u"),
    ("runbook", "default: ai", "default: sms"),
    ("runbook", "default: 5", "default: 6"),
    ("runbook", "soak: 10m", "soak: 11m"),
    ("runbook", "soak: 10m", "soak: 10m\n    on_failure: hold"),
    ("runbook", "takes: 15m", "takes: 16m"),
    ("runbook", "takes: 15m", "takes: 15m\n        at: T+5m"),
    ("runbook", "schedule:", "sql: {lock_timeout: 5s}\nschedule:"),
    ("runbook", "alone.sql, undo", "alone.sql, again: safe, undo"),
]


@pytest.mark.parametrize(("name", "old", "new"), EDITS)
def test_any_change_of_what_would_be_done_breaks_the_seal(desk: Desk, name: str, old: str, new: str) -> None:
    before = desk.plan().seal
    desk.edit(name, old, new)
    assert desk.plan().seal != before


def test_each_change_has_a_seal_of_its_own(tmp_path: Path) -> None:
    seals = [Desk(tmp_path).plan().seal]
    for number, (name, old, new) in enumerate(EDITS):
        (tmp_path / str(number)).mkdir()
        desk = Desk(tmp_path / str(number))
        desk.edit(name, old, new)
        seals.append(desk.plan().seal)
    assert len(set(seals)) == len(EDITS) + 1


def test_another_input_breaks_the_seal_and_the_same_one_given_by_hand_does_not(desk: Desk) -> None:
    before = desk.plan().seal
    assert desk.plan(inputs={"pool": "sms"}).seal != before
    assert desk.plan(inputs={"pool": "ai"}).seal == before


def test_another_target_breaks_the_seal(desk: Desk) -> None:
    assert desk.plan(target="other").seal != desk.plan().seal == desk.plan(target="demo").seal


def test_two_scripts_that_change_places_break_the_seal(desk: Desk) -> None:
    desk.edit("runbook", "forward.sql.j2, undo: back.sql", "[forward.sql.j2, back.sql], undo: nothing")
    before = desk.plan().seal
    desk.edit("runbook", "[forward.sql.j2, back.sql]", "[back.sql, forward.sql.j2]")
    assert desk.plan().seal != before


def test_another_role_breaks_the_seal(desk: Desk) -> None:
    before = desk.plan().seal
    desk.edit("runbook", "{demo: {database: embedded}", "{demo: {database: embedded, role: owner}")
    assert desk.plan().seal != before


def test_a_digest_is_the_sha256_of_the_text() -> None:
    assert digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_plan_reads_the_same_again_from_the_ledger_with_its_seal(desk: Desk) -> None:
    made = desk.plan()
    again = Plan.model_validate_json(made.model_dump_json())
    assert again == made
    assert again.seal == made.seal
