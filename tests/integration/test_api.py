"""gonogo as somebody's program uses it: checks of their own in a project of their own, runs, ledgers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from support.book import BOOK, FILES
from support.command import environment, gonogo

from gonogo import (
    BadInput,
    Event,
    Kind,
    Refused,
    Status,
    find,
    follow,
    launch,
    load,
    plan,
    read_ledger,
    read_run,
    resume,
    verify_run,
)
from gonogo.ledger.version import VERSION
from gonogo.project import ROOT
from gonogo.report import report

PAGE = (ROOT / "docs/python.md").read_text(encoding="utf-8")
EXAMPLES = [part.split("```")[0] for part in PAGE.split("```python\n")[1:]]
Make = Callable[..., Path]


@pytest.fixture
def book(make_project: Make, old_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEST_URL", old_url)
    return make_project(BOOK, **FILES) / "runbooks/book.yaml"


def test_a_runbook_is_launched_followed_and_read_again(book: Path, old_url: str) -> None:
    heard: list[Event] = []
    runbook = load(book)
    assert plan(runbook).plan.runbook == "book"
    run = launch(runbook, at_once=True, hear=heard.append)
    assert (run.status, run.outcome, run.exit_code, run.running) == (Status.DONE, "done", 0, False)
    assert heard == list(run.events)[1:], "each event is heard, once, but the one that opened the run"
    assert list(follow(runbook)) == list(run.events)
    assert find(runbook).id == run.id == read_ledger(old_url)[0]
    assert read_run(old_url, run.id).events == run.events
    assert verify_run(old_url, run.id) == []


def test_what_somebody_changed_in_a_ledger_is_found(book: Path, old_url: str) -> None:
    run = launch(load(book), at_once=True)
    with psycopg.connect(old_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE gonogo.event DISABLE TRIGGER ALL")
        connection.execute("""UPDATE gonogo.event SET body = '{"why": "so"}' WHERE kind = 'go'""")
    assert "was changed" in verify_run(old_url, run.id)[0]


def test_a_run_that_waits_for_people_is_left_and_gone_on_with_later(book: Path, old_url: str) -> None:
    ask = "gate: {go_if: [ready], confirm: [{item: seen, title: Seen}]}"
    people = "people: {ada: {name: Ada, roles: [lead]}}\n"
    book.write_text(people + BOOK.strip().replace("gate: {go_if: [ready]}", ask), encoding="utf-8")
    runbook = load(book)
    waiting = launch(runbook, at_once=True, wait=False, person="ada")
    assert (waiting.status, waiting.exit_code) == (Status.DECIDING, 4)
    said = gonogo("confirm", "book", "seen", "--as", "ada", cwd=book.parents[1], env=environment(TEST_URL=old_url))
    assert said.returncode == 0, said.stderr
    assert resume(runbook).status is Status.DONE


def test_a_run_is_followed_while_another_thread_works_on_it(book: Path) -> None:
    runbook = load(book)
    began = threading.Event()
    worker = threading.Thread(target=lambda: launch(runbook, at_once=True, hear=lambda _: began.set()))
    worker.start()
    assert began.wait(30)
    kinds = [event.kind for event in follow(runbook, poll=0.05)]
    worker.join(60)
    assert (kinds[0], kinds[-1]) == (Kind.RUN_OPENED, Kind.RUN_DONE)


def test_what_is_wrong_is_said_as_an_error_of_its_kind(book: Path, old_url: str) -> None:
    with pytest.raises(BadInput) as wrong:
        load(book.with_name("nothing.yaml"))
    assert wrong.value.problems
    runbook = load(book)
    with pytest.raises(Refused, match="no run of book"):
        find(runbook)
    launch(runbook, at_once=True)
    with pytest.raises(Refused, match="nothing to go on with"):
        resume(runbook)
    with pytest.raises(Refused, match="there is no run 'book-000000'"):
        read_run(old_url, "book-000000")


def test_what_somebody_raises_as_they_hear_is_theirs_and_disturbs_no_run(book: Path) -> None:
    def hear(event: Event) -> None:
        if event.kind is Kind.DONE:
            raise psycopg.errors.AdminShutdown("a database of their own")

    runbook = load(book)
    with pytest.raises(psycopg.errors.AdminShutdown, match="of their own"):
        launch(runbook, at_once=True, hear=hear)
    run = find(runbook)
    assert run.status is Status.DONE
    assert [event.kind for event in run.events].count(Kind.STARTED) == 1


def test_whoever_interrupts_a_launch_leaves_a_run_that_is_held(book: Path) -> None:
    def hear(event: Event) -> None:
        if event.kind is Kind.GO:
            raise KeyboardInterrupt

    runbook = load(book)
    with pytest.raises(KeyboardInterrupt):
        launch(runbook, at_once=True, hear=hear)
    run = find(runbook)
    assert (run.status, run.exit_code, run.running) == (Status.WORKING, 4, False)
    assert resume(runbook).status is Status.DONE


def test_a_phase_that_there_is_not_opens_no_run_and_a_run_that_is_done_is_returned(book: Path, old_url: str) -> None:
    runbook = load(book)
    with pytest.raises(BadInput, match="no phase 'nope'"):
        launch(runbook, phase="nope")
    assert read_ledger(old_url) == []
    done = launch(runbook, at_once=True)
    assert launch(runbook, at_once=True) == done
    assert launch(runbook, at_once=True, again=True).id != done.id


@pytest.mark.parametrize("read", [read_ledger, lambda url: read_run(url, "x"), lambda url: verify_run(url, "x")])
def test_a_url_that_is_none_is_refused_without_its_password(read: Callable[[str], object]) -> None:
    with pytest.raises(BadInput) as wrong:
        read("postgres//user:SECRETPW@host/db")
    assert "SECRETPW" not in str(wrong.value)


LATE = '{"folder": "x", "taken_at": "9999-12-31T23:59:59-12:00", "tables": 1, "objects": 1, "bytes": 1, "restored_in": 1}'
#: rows that whoever may append to a ledger can write, and no gonogo does
STRANGE = [
    ("script done", '{"step": 99, "last": true}', "names the step 99, but the plan has only 2"),
    ("script done", '{"step": 0, "last": true, "took": 1e308}', "took"),
    ("script done", '{"step": 0, "script": -5, "last": true}', "names the script -5"),
    ("undo done", '{"step": 99, "last": true}', "names the step 99"),
    ("roll back", '{"back_to": -99, "level": "undo"}', "names the phase -99"),
    ("backup proved", LATE, "not one that this version of gonogo can read"),
    ("hold", '{"n": ' + "1" * 5000 + "}", "gonogo does not know"),
    ("hold", '{"why": ' + "[" * 4000 + "]" * 4000 + "}", "gonogo does not know"),
    ("hold", '["text"]', "its body is not a JSON object"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "body", "why"), STRANGE)
def test_a_row_that_no_gonogo_writes_is_refused_in_words_and_the_chain_is_verified_all_the_same(
    book: Path, old_url: str, kind: str, body: str, why: str
) -> None:
    run = launch(load(book), at_once=True)
    with psycopg.connect(old_url, autocommit=True) as connection:
        connection.execute("SELECT gonogo.append(%s, %s, 'mallory', %s::json, false)", [run.id, kind, body])
    with pytest.raises(Refused, match=re.escape(why)):
        read_run(old_url, run.id)
    assert verify_run(old_url, run.id) == []


@pytest.mark.parametrize(
    ("kind", "body"),
    [("hold", '{"why": null}'), ("held", '{"why": "x", "budget": null}'), ("sample", '{"samples": {"x": {"value": "x"}}}')],
)
def test_a_row_that_says_nothing_where_it_may_is_read_and_reported(book: Path, old_url: str, kind: str, body: str) -> None:
    run = launch(load(book), at_once=True)
    with psycopg.connect(old_url, autocommit=True) as connection:
        connection.execute("SELECT gonogo.append(%s, %s, 'mallory', %s::json, false)", [run.id, kind, body])
    found = read_run(old_url, run.id)
    assert len(found.events) == len(run.events) + 1
    assert report.report(found.plan, found.events, found.id)["outcome"] == "done"


def test_a_ledger_of_an_older_gonogo_says_from_its_next_run_on_that_only_a_newer_one_reads_it(book: Path, old_url: str) -> None:
    said = "SELECT obj_description('gonogo'::regnamespace, 'pg_namespace')"
    launch(load(book), at_once=True)
    with psycopg.connect(old_url, autocommit=True) as connection:
        assert connection.execute(said).fetchone() == (f"gonogo ledger {VERSION}",)
        connection.execute("COMMENT ON SCHEMA gonogo IS 'gonogo ledger 1'")
        assert read_ledger(old_url), "it is read as it is"
        assert connection.execute(said).fetchone() == ("gonogo ledger 1",)
        launch(load(book), at_once=True, again=True)
        assert connection.execute(said).fetchone() == (f"gonogo ledger {VERSION}",)


def in_project(project: Path, *command: str) -> str:
    env = environment(PYTHONPATH=os.pathsep.join([str(project / "checks")]), COLUMNS="200")
    done = subprocess.run(
        [sys.executable, *command], cwd=project, env=env, capture_output=True, text=True, timeout=250, check=False
    )
    return done.stdout + done.stderr


def test_a_check_of_a_project_is_tested_and_typed_there_without_a_process_of_gonogo(tmp_path: Path, url: str) -> None:
    own, test = EXAMPLES[:2]
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks/margin.py").write_text(own, encoding="utf-8")
    (tmp_path / "test_margin.py").write_text(test, encoding="utf-8")
    (tmp_path / "conftest.py").write_text(f"import pytest\n\n@pytest.fixture\ndef url():\n    return {url!r}\n", encoding="utf-8")
    assert "1 passed" in in_project(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    for number, example in enumerate(EXAMPLES[2:]):
        (tmp_path / f"example_{number}.py").write_text(example, encoding="utf-8")
    (tmp_path / "wrong.py").write_text(
        "from gonogo import Ask, launch\nlaunch(1)\n\ndef f(ask: Ask) -> str:\n    return ask.given\n"
    )
    files = ["checks/margin.py", *(f"example_{n}.py" for n in range(len(EXAMPLES) - 2))]
    assert "Success" in in_project(tmp_path, "-m", "mypy", "--strict", *files)
    wrong = in_project(tmp_path, "-m", "mypy", "--strict", "wrong.py")
    assert 'Argument 1 to "launch"' in wrong
    assert "Incompatible return value type" in wrong


def test_checks_that_import_from_checks_own_go_on_working_and_are_told_what_to_write() -> None:
    code = "from checks.own import Ask, check; import gonogo; assert (Ask, check) == (gonogo.Ask, gonogo.check)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "`from checks.own import Ask, check` is now `from gonogo import Ask, check`" in done.stderr


def test_a_launch_of_a_phase_that_is_not_the_next_opens_no_run(book: Path, old_url: str) -> None:
    more = "  - {phase: two, tasks: [{task: later, steps: [{sql: ready.sql, undo: nothing}]}]}\nchecks:\n"
    book.write_text(book.read_text(encoding="utf-8").replace("checks:\n", more), encoding="utf-8")
    with pytest.raises(Refused, match="the next phase is 'one'; 'two' cannot be launched now"):
        launch(load(book), phase="two")
    with psycopg.connect(old_url) as connection:
        assert connection.execute("SELECT count(*) FROM gonogo.run").fetchone() == (0,)
