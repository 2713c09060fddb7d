from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.prepared import prepare

from gonogo.core.model.step import Pace
from gonogo.core.plan.plan import PlannedBackfill, PlannedStep
from gonogo.planning.load import check_runbook, load_runbook
from gonogo.planning.open import OpenedRunbook
from gonogo.planning.planner import prepare as plan_of
from gonogo.planning.prepared import Prepared
from gonogo.planning.unchanged import sources_of
from gonogo.project import ROOT, Project

RUNBOOK = """\
runbook: example
targets: {{demo: {{database: embedded}}}}
phases:
  - phase: one
    gate: {{go_if: [orphans]}}
    tasks:
      - task: first
        steps:
          - {step}
checks:
  orphans: {{sql: check.sql, expect: "= 0"}}
  rows: {{checksum: [t], expect: unchanged}}
baseline: [rows]
"""
FILES = {
    "check.sql": "SELECT 0",
    "010.sql": "UPDATE t SET a = 1",
    "020.sql": "UPDATE t SET b = 1; UPDATE t SET c = 1",
    "030.sql": "UPDATE t SET d = 1",
    "010.undo.sql": "UPDATE t SET a = 0",
    "020.undo.sql": "UPDATE t SET b = 0",
    "030.undo.sql": "UPDATE t SET d = 0",
    "index.sql": "CREATE TABLE x (a int);\n\n-- now\nCREATE INDEX CONCURRENTLY i ON x (a);\nANALYZE x;",
    "set.sql": "SET LOCAL work_mem = '1GB'; UPDATE t SET a = 1",
    "batch.sql.j2": "UPDATE t SET a = 1 WHERE {{ batch }}",
    "unbatch.sql.j2": "UPDATE t SET a = NULL WHERE {{ batch }} AND {{ unchanged }}",
}


def prepared(root: Path, step: str, runbook: str = RUNBOOK, **given: Any) -> Prepared:
    folder = root / "sql_templates" / "example"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    text, file = runbook.format(step=step), root / "r.yaml"
    file.write_text(text, encoding="utf-8")
    return prepare(check_runbook(text, str(file)), file, Project(root=root), **given)


def step_of(root: Path, step: str) -> PlannedStep:
    return prepared(root, step).plan.steps[0]


def sources(step: PlannedStep) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    forward, back = ([(s.source.split("/")[1], s.part) for s in scripts] for scripts in (step.scripts, step.undo or ()))
    return forward, back


def test_as_many_undo_sources_as_forward_ones_are_paired_and_run_backwards(tmp_path: Path) -> None:
    step = step_of(tmp_path, "{sql: [010.sql, 020.sql, 030.sql], undo: [010.undo.sql, 020.undo.sql, 030.undo.sql]}")
    assert step.paired
    assert sources(step) == (
        [("010.sql", 0), ("020.sql", 1), ("030.sql", 2)],
        [("030.undo.sql", 2), ("020.undo.sql", 1), ("010.undo.sql", 0)],
    )


def test_globs_are_paired_file_by_file(tmp_path: Path) -> None:
    step = step_of(tmp_path, '{sql: "0[0-9]0.sql", undo: "0?0.undo.sql"}')
    assert step.paired
    assert [name for name, _ in sources(step)[1]] == ["030.undo.sql", "020.undo.sql", "010.undo.sql"]


@pytest.mark.parametrize("undo", ["030.undo.sql", "[010.undo.sql, 030.undo.sql]"])
def test_other_numbers_of_undo_sources_run_as_written_and_always_all(undo: str, tmp_path: Path) -> None:
    step = step_of(tmp_path, f"{{sql: [010.sql, 020.sql, 030.sql], undo: {undo}}}")
    assert not step.paired
    assert [name for name, _ in sources(step)[1]] == undo.strip("[]").split(", ")


def test_one_source_and_one_undo_need_no_pairing(tmp_path: Path) -> None:
    assert not step_of(tmp_path, "{sql: 010.sql, undo: 010.undo.sql}").paired


def test_a_source_is_one_script_unless_a_statement_must_run_alone(tmp_path: Path) -> None:
    whole = prepared(tmp_path, "{sql: 020.sql, undo: nothing}")
    (script,) = whole.plan.steps[0].scripts
    assert whole.texts[script.sha256] == FILES["020.sql"]
    assert (script.transactional, script.line, script.act) == (True, 1, "")
    apart = prepared(tmp_path, "{sql: index.sql, undo: nothing}")
    scripts = apart.plan.steps[0].scripts
    assert [apart.texts[s.sha256] for s in scripts] == [
        "CREATE TABLE x (a int)",
        "CREATE INDEX CONCURRENTLY i ON x (a)",
        "ANALYZE x",
    ]
    assert [(s.line, s.transactional, s.act, s.object) for s in scripts] == [
        (1, True, "", ""),
        (4, False, "create index", '"i"'),
        (5, True, "", ""),
    ]
    assert {s.part for s in scripts} == {0}


def test_a_script_that_sets_something_for_the_session_is_known(tmp_path: Path) -> None:
    assert step_of(tmp_path, "{sql: set.sql, undo: nothing}").scripts[0].sets
    assert not step_of(tmp_path, "{sql: 010.sql, undo: nothing}").scripts[0].sets


def test_nothing_to_undo_and_no_undo_are_two_things(tmp_path: Path) -> None:
    assert step_of(tmp_path, "{sql: 010.sql, undo: nothing}").undo == ()
    assert step_of(tmp_path, "{sql: 010.sql}").undo is None
    assert step_of(tmp_path, "{check: orphans}").undo == ()


def test_a_step_has_its_own_limits_or_the_runbooks(tmp_path: Path) -> None:
    step = step_of(tmp_path, "{sql: 010.sql, undo: nothing, lock_timeout: 7s}")
    assert (step.waits_for_locks().total_seconds(), step.statement_timeout.total_seconds()) == (7, 1800)


def test_a_step_is_named_by_its_task_and_its_own_name_or_number(tmp_path: Path) -> None:
    assert step_of(tmp_path, "{sql: 010.sql, undo: nothing}").name == "first.1"
    assert step_of(tmp_path, "{step: widen, sql: 010.sql, undo: nothing}").name == "first.widen"


def test_a_backfill_is_one_unit_whatever_its_template_has(tmp_path: Path) -> None:
    step = step_of(tmp_path, "{backfill: {table: t, sql: batch.sql.j2, batch: 7, key: [a, b]}, undo: nothing}")
    assert (step.kind, step.units) == ("backfill", 1)
    assert step.backfill == PlannedBackfill(table="t", key=("a", "b"), batch=7, pace=Pace())


def test_a_backfill_that_an_older_gonogo_planned_goes_flat_out() -> None:
    assert PlannedBackfill.model_validate({"table": "t"}).pace.mode == "flat out"


def test_the_undo_of_a_backfill_in_batches_is_planned_as_such(tmp_path: Path) -> None:
    step = step_of(tmp_path, "{backfill: {table: t, sql: batch.sql.j2}, undo: {backfill: unbatch.sql.j2}}")
    assert step.backfill is not None
    assert step.backfill.undo_in_batches
    assert step.undo is not None
    assert [script.source for script in step.undo] == ["example/unbatch.sql.j2"]


# warnings


def test_a_careful_runbook_has_no_warning(tmp_path: Path) -> None:
    assert prepared(tmp_path, "{sql: 010.sql, undo: 010.undo.sql}").warnings == ()


@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        (
            ", undo: 010.undo.sql",
            "",
            "phases[0].tasks[0].steps[0]: the step has no undo, so the run cannot be rolled back past it",
        ),
        ("{{go_if: [orphans]}}", "{{go_if: []}}", "phases[0].gate: the gate has no criterion, so it is always go"),
        ("{{go_if: [orphans]}}", "{{go_if: []}}", "checks.orphans: no one uses this check"),
        (
            "baseline: [rows]\n",
            "",
            "baseline: no check of rows (checksum, orphans, rows, values), so a rollback proves the schema and the checks only",
        ),
    ],
)
def test_what_is_careless_is_warned_about_and_not_refused(old: str, new: str, warning: str, tmp_path: Path) -> None:
    text = RUNBOOK.replace("{step}", "{{sql: 010.sql, undo: 010.undo.sql}}")
    assert text.count(old) == 1
    found = prepared(tmp_path, "", text.replace(old, new)).warnings
    assert any(told.startswith(warning) for told in found)


# what a plan was made from


def test_the_digest_of_the_sources_changes_with_each_of_them_and_with_nothing_else(tmp_path: Path) -> None:
    step = "{sql: 010.sql, undo: 010.undo.sql}"
    before = prepared(tmp_path, step).plan.sources
    assert prepared(tmp_path, step).plan.sources == before
    (tmp_path / "sql_templates" / "example" / "unused.sql").write_text("SELECT 1")
    assert prepared(tmp_path, step).plan.sources == before
    assert prepared(tmp_path, "{sql: 010.sql, undo: 020.undo.sql}").plan.sources != before
    assert prepared(tmp_path, step + " # a note").plan.sources != before


@pytest.mark.parametrize("file", sorted((ROOT / "runbooks").glob("*.yaml")), ids=lambda file: file.stem)
def test_the_files_of_a_runbook_are_known_without_planning_it_those_of_its_levels_too(file: Path) -> None:
    opened = OpenedRunbook(runbook=load_runbook(file), file=file, project=Project(root=ROOT))
    assert sources_of(opened, {}) == plan_of(opened).plan.sources
