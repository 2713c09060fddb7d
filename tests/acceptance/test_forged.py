"""What somebody wrote into the ledger is not carried out on a protected database, with the rights of whoever resumes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.gate_desk import BOOK, FILES, FORGED, Desk, launched

from gonogo.core.engine.events import Kind

pytestmark = pytest.mark.attack("forged runs and facts")
Make = Callable[..., Path]
EVIL = "CREATE TABLE made (by_whom text DEFAULT 'somebody who may only write to the ledger');\n"


@pytest.fixture
def guarded(make_project: Make, old_url: str) -> Desk:
    """A protected target whose gate waits, launched by the lead."""
    return launched(make_project, old_url)


def forge_run(desk: Desk, change: Callable[[dict[str, Any]], None], *, alone: bool = False, signature: str = "") -> str:
    """Write a run of one's own into the ledger, made from one that is there; return its id."""
    plan = json.loads(json.dumps(desk.bodies(Kind.RUN_OPENED)[0]["plan"]))
    sha256 = hashlib.sha256(EVIL.encode()).hexdigest()
    plan["steps"][0]["scripts"][0]["sha256"] = sha256
    change(plan)
    run = "book-ffffff"
    with psycopg.connect(desk.url, autocommit=True) as connection:
        if alone:
            connection.execute("SET session_replication_role = replica; DELETE FROM gonogo.event; DELETE FROM gonogo.run")
        connection.execute("INSERT INTO gonogo.script VALUES (%s, %s)", [sha256, EVIL])
        connection.execute(
            "INSERT INTO gonogo.run (id, runbook, target, opened, seq) VALUES (%s, 'book', %s, now(), 0)", [run, plan["target"]]
        )
        opened = {"plan": plan, "signature": signature}
        launched = {"phase": "one", "through": 0, "at_once": True, "person": "lead", "proved": True}
        for kind, body in ((Kind.RUN_OPENED, opened), (Kind.PHASE_STARTED, launched)):
            connection.execute(FORGED, [str(kind), "lead", json.dumps(body)])
    return run


def unprotected(plan: dict[str, Any]) -> None:
    plan["protected"] = False
    plan["phases"][0]["approve"] = None
    plan["target"] = "open"


def with_its_own_people(plan: dict[str, Any]) -> None:
    plan["people"] = {"mallory": {"name": "Mallory", "roles": ["technical_lead", "project_owner"]}}


def without_a_vote(plan: dict[str, Any]) -> None:
    plan["phases"][0]["approve"] = None


def as_it_is(plan: dict[str, Any]) -> None:
    assert plan["protected"]


@pytest.mark.parametrize("alone", [False, True], ids=["beside a real one", "alone"])
@pytest.mark.parametrize("change", [unprotected, with_its_own_people, without_a_vote, as_it_is])
def test_a_run_that_this_project_did_not_sign_is_not_carried_out(
    guarded: Desk, change: Callable[[dict[str, Any]], None], *, alone: bool
) -> None:
    genuine = str(guarded.bodies(Kind.RUN_OPENED)[0]["signature"])
    run = forge_run(guarded, change, alone=alone, signature=genuine)
    for command in ("resume", "rollback"):
        for target in ("guarded", "open") if not alone else ("guarded",):
            more = ["--accept-loss", "--as", "lead", "--code", guarded.code("lead")] if command == "rollback" else []
            done = guarded(command, "book", "--run", run, "-t", target, "--without-prefect", *more)
            assert done.returncode in (3, 4), done.stdout + done.stderr
            assert command == "rollback" or "is not signed with this project's key" in done.stderr
            assert not guarded.made()


def test_one_of_the_runbooks_people_can_answer_for_a_run_and_nobody_else(guarded: Desk) -> None:
    run = forge_run(guarded, as_it_is)
    for person, code, why in (
        ("mallory", "123456", "is not one of the runbook's people"),
        ("lead", "000000", "is not lead's current code"),
        ("lead", "", "must prove who they are"),
    ):
        done = guarded("ledger", "sign", "book", "--run", run, "-t", "guarded", "--as", person, "--code", code)
        assert (done.returncode, why in done.stderr) == (3, True), done.stderr
    assert guarded("resume", "book", "--run", run, "-t", "guarded", "--without-prefect", "--no-wait").returncode == 3
    done = guarded("ledger", "sign", "book", "--run", run, "-t", "guarded", "--as", "lead", "--code", guarded.code("lead"))
    assert done.returncode == 0, done.stderr
    done = guarded("resume", "book", "--run", run, "-t", "guarded", "--without-prefect", "--no-wait")
    assert done.returncode == 4, "it is carried on with, and its gate asks people: " + done.stdout + done.stderr
    # what somebody answered for is that run, as it was then
    guarded.forge(Kind.PHASE_STARTED, "lead", phase="one", at_once=True)
    assert not guarded.made()


TWO_PHASES = BOOK.replace(
    "checks:\n",
    """  - phase: two
    gate: {approve: {roles: [technical_lead, project_owner], quorum: 1}}
    tasks:
      - task: more
        steps: [{sql: b.sql, undo: b.undo.sql}]
checks:
""",
    1,
)


@pytest.mark.parametrize("copied", [False, True], ids=["written by hand", "copied"])
def test_a_launch_that_somebody_wrote_or_copied_starts_nothing(make_project: Make, old_url: str, *, copied: bool) -> None:
    files = {**FILES, "b__sql": "CREATE TABLE second (id int);\n", "b__undo__sql": "DROP TABLE second;\n"}
    desk = Desk(make_project(TWO_PHASES, **files), old_url, "guarded")
    desk.enroll("lead", "owner")
    assert desk.launch("--phase", "one", "--as", "lead", "--code", desk.code("lead")).returncode == 4
    for person in ("lead", "owner"):
        assert desk.go(person, "--code", desk.code(person)).returncode == 0
    assert desk.resume().returncode == 0
    launch = desk.bodies(Kind.PHASE_STARTED)[0] if copied else {"at_once": True, "person": "lead", "proved": True}
    desk.forge(Kind.PHASE_STARTED, "lead", **{**launch, "phase": "two", "through": 1})
    assert desk.resume("--no-wait").returncode == 4
    assert desk.go("lead", "--code", desk.code("lead")).returncode == 0
    done = desk.resume()
    assert done.returncode == 4, done.stdout + done.stderr
    assert "the launch (event" in done.stdout, done.stdout
    with psycopg.connect(old_url) as connection:
        assert connection.execute("SELECT to_regclass('second')").fetchone() == (None,)


def two_phases(make_project: Make, url: str, *, authority: bool) -> Desk:
    """A run on the protected target whose first phase is done."""
    files = {**FILES, "b__sql": "CREATE TABLE second (id int);\n", "b__undo__sql": "DROP TABLE second;\n"}
    book = TWO_PHASES if authority else TWO_PHASES[: TWO_PHASES.index("rollback:\n")]
    desk = Desk(make_project(book + ("" if authority else "rollback: {reach: phase}\n"), **files), url, "guarded")
    desk.enroll("lead", "owner")
    assert desk.launch("--phase", "one", "--as", "lead", "--code", desk.code("lead")).returncode == 4
    return desk


def has_second(desk: Desk) -> bool:
    with psycopg.connect(desk.url) as connection:
        return connection.execute("SELECT to_regclass('second')").fetchone() != (None,)


def test_a_launch_that_somebody_wrote_meanwhile_does_not_become_the_projects(make_project: Make, old_url: str) -> None:
    desk = two_phases(make_project, old_url, authority=False)
    for person in ("lead", "owner"):
        assert desk.go(person, "--code", desk.code(person)).returncode == 0
    forged = {"phase": "two", "through": 1, "at_once": True, "person": "lead", "proved": True, "override": "the boss said so"}
    desk.forge(Kind.PHASE_STARTED, "lead", **forged)
    done = desk.resume("--no-wait")
    assert done.returncode in (3, 4), done.stdout
    assert all(body.get("phase") != "two" or not body.get("signature") for body in desk.bodies(Kind.PHASE_STARTED))
    assert not has_second(desk)


def test_an_accepted_loss_is_no_launch_and_an_approval_is_none_of_a_later_rollback(make_project: Make, old_url: str) -> None:
    book = TWO_PHASES.replace("rollback:\n", "rollback:\n  reach: phase\n")
    files = {**FILES, "b__sql": "CREATE TABLE second (id int);\n", "b__undo__sql": "DROP TABLE second;\n"}
    desk = Desk(make_project(book, **files), old_url, "guarded")
    desk.enroll("lead", "owner")

    def launch(phase: str, *people: str) -> None:
        assert desk.launch("--phase", phase, "--as", "lead", "--code", desk.code("lead")).returncode == 4
        for person in people:
            assert desk.go(person, "--code", desk.code(person)).returncode == 0
        assert desk.resume().returncode == 0

    launch("one", "lead", "owner")
    launch("two", "lead")
    back = ("rollback", "book", "-t", "guarded", "--without-prefect", "--phase", "two", "--reason", "wrong")
    assert desk(*back, "--as", "lead", "--code", desk.code("lead")).returncode == 4
    assert desk(*back, "--as", "owner", "--code", desk.code("owner")).returncode == 11
    votes = [vote for vote in desk.bodies(Kind.VOTE) if vote["on"] == "roll back"]
    assert len(votes) == 2
    launch("two", "lead")
    assert has_second(desk)
    for vote in votes:
        desk.forge(Kind.VOTE, str(vote["person"]), **vote)
    done = desk(*back, "--as", "mallory")
    assert done.returncode in (3, 4), done.stdout + done.stderr
    assert has_second(desk)


@pytest.mark.parametrize("kind", [Kind.ROLL_BACK, Kind.ABORT])
def test_a_data_loss_that_somebody_accepted_in_the_ledger_is_not_accepted(make_project: Make, old_url: str, kind: Kind) -> None:
    book = BOOK[: BOOK.index("rollback:\n")].replace("    tasks:\n", "    soak: 2s\n    tasks:\n", 1)
    desk = Desk(make_project(book, **FILES), old_url, "guarded")
    desk.enroll("lead", "owner")
    assert desk.launch("--as", "lead", "--code", desk.code("lead")).returncode == 4
    for person in ("lead", "owner"):
        assert desk.go(person, "--code", desk.code(person)).returncode == 0
    assert desk.resume().returncode == 0
    with psycopg.connect(old_url, autocommit=True) as connection:
        connection.execute("INSERT INTO made SELECT generate_series(1, 7)")
    if kind is Kind.ROLL_BACK:
        desk.forge(kind, "lead", why="forged", accept_loss=True)
        done = desk.resume()
    else:
        desk.forge(Kind.ROLL_BACK, "lead", why="forged", accept_loss=True, person="lead", signature="x", follows=1)
        done = desk("rollback", "book", "-t", "guarded", "--without-prefect", "--continue")
    assert done.returncode in (3, 4), done.stdout + done.stderr
    assert desk.made()
    # one of the people accepts it, and proves it
    again = desk("rollback", "book", "-t", "guarded", "--without-prefect", "--continue")
    assert again.returncode == 4, again.stdout
    code = ["--as", "lead", "--code", desk.code("lead")]
    done = desk("rollback", "book", "-t", "guarded", "--without-prefect", "--continue", "--accept-loss", *code)
    assert done.returncode == 11, done.stdout + done.stderr
    assert not desk.made()


def test_a_script_that_was_changed_or_removed_by_hand_is_found_by_verify(guarded: Desk) -> None:
    assert guarded("ledger", "verify", "book", "-t", "guarded").returncode == 0
    with psycopg.connect(guarded.url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE gonogo.script SET text = %s WHERE text LIKE 'CREATE TABLE made%%'", [EVIL])
        connection.execute("DELETE FROM gonogo.script WHERE text LIKE 'DROP TABLE%'")
    done = guarded("ledger", "verify", "book", "-t", "guarded", "--json")
    assert done.returncode == 3
    problems = json.loads(done.stdout)["problems"]
    assert {problem.split(" ", 3)[3] for problem in problems} == {"is missing", "was changed after it was recorded"}, problems
