"""Each change of another tool's folder is a step: what it runs, what it is called, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gonogo.errors import BadInput
from gonogo.planning.load import check_runbook
from gonogo.planning.open import OpenedRunbook
from gonogo.planning.planner import prepare
from gonogo.planning.prepared import Prepared
from gonogo.planning.unchanged import sources_of
from gonogo.project import Project

BOOK = """\
runbook: shop
targets: {db: {database: embedded}}
phases:
  - phase: one
    tasks:
      - task: schema
        steps: [STEPS]
"""


def opened(folder: Path, *steps: str, more: str = "", **files: str) -> OpenedRunbook:
    for name, text in files.items():
        file = folder / name.replace("__", "/").replace("_up", ".up").replace("_down", ".down")
        file = file.with_name(f"{file.name}.sql")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    book = folder / "shop.yaml"
    book.write_text(BOOK.replace("STEPS", ", ".join(steps)) + more)
    return OpenedRunbook(runbook=check_runbook(book.read_text(), str(book)), file=book, project=Project(root=folder))


def planned(folder: Path, *steps: str, more: str = "", **files: str) -> Prepared:
    return prepare(opened(folder, *steps, more=more, **files))


def texts(made: Prepared) -> dict[str, tuple[list[str], list[str] | None]]:
    return {
        step.name.removeprefix("schema."): (
            [made.texts[script.sha256] for script in step.scripts],
            None if step.undo is None else [made.texts[script.sha256] for script in step.undo],
        )
        for step in made.plan.steps
    }


DB, OTHER = "{migrations: {folder: db}}", "{migrations: {folder: other}}"
UP, DOWN = "-- migrate:up\n", "-- migrate:down\n"


RECORDED = "INSERT INTO schema_migrations (version) VALUES ('1');"


def test_what_is_recorded_comes_first_whatever_the_change_does_to_its_session(tmp_path: Path) -> None:
    made = planned(tmp_path, DB, db__1_a=f"{UP}SET search_path TO other;\nSELECT 1 -- the first\n{DOWN}DROP TABLE a -- gone")
    forward, back = texts(made)["1_a"]
    assert back is not None
    assert [line for line in forward[0].splitlines() if line] == [
        RECORDED,
        "SET search_path TO other;",
        "SELECT 1 -- the first",
        ";",
    ]
    assert back[0].splitlines()[0] == "DELETE FROM schema_migrations WHERE version = '1';"
    (step,) = made.plan.steps
    # what is told of a line counts from the script's own
    assert forward[0].splitlines().index("SET search_path TO other;") + step.scripts[0].line == 2


def test_a_change_without_sql_is_only_recorded(tmp_path: Path) -> None:
    made = planned(tmp_path, DB, db__1_a=f"{UP}-- later\n{DOWN}-- later\n", db__2_b=f"{UP}SELECT 1;\n{DOWN}SELECT 1;\n")
    assert texts(made)["1_a"] == ([f"{RECORDED}\n"], None)
    assert any("1_a has no rollback" in warning for warning in made.warnings)


def test_what_refuses_a_transaction_is_followed_by_its_record_in_one_of_its_own(tmp_path: Path) -> None:
    alone = "CREATE INDEX CONCURRENTLY i ON t (a);\n"
    made = planned(tmp_path, "{migrations: {folder: go}}", go__1_a_up=alone, go__1_a_down="DROP INDEX i;\n")
    (step,) = made.plan.steps
    assert [script.transactional for script in step.scripts] == [False, True]
    assert [script.line for script in step.scripts] == [1, 1]
    record = made.texts[step.scripts[1].sha256]
    assert record == "DELETE FROM schema_migrations; INSERT INTO schema_migrations (version, dirty) VALUES (1, false)", (
        "both at once: in between nothing would be done by it"
    )


def test_folders_whose_changes_are_called_alike_have_steps_and_checks_of_their_own(tmp_path: Path) -> None:
    files = {f"{folder}__1_a": f"{UP}SELECT 1;\n{DOWN}SELECT 1;\n" for folder in ("db", "other")}
    made = planned(tmp_path, DB, OTHER, **files)
    assert [step.name for step in made.plan.steps] == ["schema.1_a", "schema.1_a-2"]
    assert made.plan.phases[0].go_if == ("schema_pending", "schema_pending_2")
    assert made.plan.phases[0].verify == ("schema_recorded", "schema_recorded_2")


def test_what_goes_on_from_what_the_same_phase_does_first_needs_a_phase_of_its_own(tmp_path: Path) -> None:
    files = {f"db__{n}_a": f"{UP}SELECT 1;\n{DOWN}SELECT 1;\n" for n in (1, 2)}
    with pytest.raises(BadInput, match="is asked at the gate, before what comes first in this phase: take a phase of its own"):
        planned(tmp_path, "{migrations: {folder: db, to: 1}}", "{migrations: {folder: db, since: 1}}", **files)


@pytest.mark.parametrize(
    ("step", "more", "said"),
    [
        ("{migrations: {folder: nowhere}}", "", "there is no folder"),
        ("{migrations: {folder: db, tool: goose}}", "", "its files look like dbmate, not goose"),
        ("{migrations: {folder: db, since: 9}}", "", "there is no change '9'; the last ones are 1_a"),
        (
            "{migrations: {folder: db, tool: flywheel}}",
            "",
            "how 'flywheel' records what is done is not known; known are",
        ),
        ("{migrations: {folder: plain}}", "", "the folder looks like numbered files, and gonogo does not know how that records"),
        ("{migrations: {folder: db}, undo: nothing}", "", "undo: `migrations` is a step for each change of the folder"),
        (DB, "checks: {schema_pending: {query: SELECT 0, expect: '= 0'}}\n", "a check schema_pending is made for the migrations"),
        ("{migrations: {folder: odd}}", "", "odd/1_a.sql:2:1: "),
    ],
)
def test_what_cannot_be_planned_is_said_with_its_place(tmp_path: Path, step: str, more: str, said: str) -> None:
    files = {
        "db__1_a": f"{UP}SELECT 1;\n",
        "plain__1_a": "SELECT 1;\n",
        "odd__1_a": f"{UP}\\i other.sql\n",
    }
    with pytest.raises(BadInput) as caught:
        planned(tmp_path, step, more=more, **files)
    assert said in str(caught.value)


def test_nothing_is_recorded_where_the_runbook_says_so(tmp_path: Path) -> None:
    made = planned(tmp_path, "{migrations: {folder: plain, record: false}}", plain__1_a="SELECT 1;\n")
    assert texts(made)["1_a"][0] == ["SELECT 1;\n"]
    assert made.plan.phases[0].go_if == ()


def test_a_file_of_the_folder_that_was_edited_is_another_plan(tmp_path: Path) -> None:
    book = opened(tmp_path, DB, db__1_a=f"{UP}SELECT 1;\n{DOWN}SELECT 1;\n")
    before = prepare(book)
    assert sources_of(book, {}) == before.plan.sources
    (tmp_path / "db" / "1_a.sql").write_text(f"{UP}SELECT 2;\n{DOWN}SELECT 1;\n")
    assert sources_of(book, {}) != before.plan.sources
    assert prepare(book).plan.seal != before.plan.seal
