"""What gonogo leaves is named, and removed only whole, after its record is kept, and never with anything of others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from support.gate_desk import BOOK, FILES, Desk

from gonogo.postgres.connection import Database
from gonogo.postgres.fingerprint import fingerprint

Make = Callable[..., Path]


@pytest.fixture(params=["open"])
def desk(make_project: Make, old_url: str, request: pytest.FixtureRequest) -> Desk:
    made = Desk(make_project(BOOK, **FILES), old_url, request.param)
    if request.param == "guarded":
        made.enroll("lead", "owner")
    return made


def there(desk: Desk) -> bool:
    with psycopg.connect(desk.url) as connection:
        return connection.execute("SELECT to_regnamespace('gonogo') IS NOT NULL").fetchone() == (True,)


def uninstall(desk: Desk, *more: str, code: int = 0) -> str:
    done = desk("uninstall", "book", "--target", desk.target, *more)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def done_run(desk: Desk) -> None:
    assert desk.launch().returncode == 4
    desk.go("lead")
    desk.go("owner")
    assert desk.resume().returncode == 0


def test_a_ledger_is_named_then_kept_and_removed_and_everything_else_is_as_before(desk: Desk) -> None:
    assert "there is no ledger" in uninstall(desk, code=3)
    done_run(desk)
    with Database(url=desk.url).connect("gonogo/look") as connection:
        before = fingerprint(connection).objects
    said = uninstall(desk)
    assert "1 run, " in said
    assert "use --yes" in said
    assert there(desk)
    events = [json.loads(line) for line in desk("ledger", "export", "book", "--target", "open").stdout.splitlines()]
    made = json.loads(desk("uninstall", "book", "--target", "open", "--yes", "--json").stdout)
    assert made["removed"] is True
    assert len(made["runs"]) == 1
    kept = [json.loads(line) for line in Path(made["exported"]).read_text(encoding="utf-8").splitlines()]
    assert [event["hash"] for event in events] == [event["hash"] for event in kept if event["run"] == made["runs"][0]]
    assert Path(made["exported"]).stat().st_mode & 0o777 == 0o600
    assert not there(desk)
    with Database(url=desk.url).connect("gonogo/look") as connection:
        assert fingerprint(connection).objects == before
    assert desk.launch().returncode == 4, "and it can begin anew"


def test_a_run_that_is_not_over_stays_unless_somebody_says_so(desk: Desk) -> None:
    desk.launch()
    assert "not over: book-" in uninstall(desk)
    assert "not over yet" in uninstall(desk, "--yes", code=3)
    assert there(desk)
    uninstall(desk, "--yes", "--unfinished")
    assert not there(desk)


@pytest.mark.parametrize(
    "thing",
    [
        "CREATE VIEW mine AS SELECT count(*) FROM gonogo.event",
        "CREATE TABLE mine (run text REFERENCES gonogo.run (id))",
        "CREATE FUNCTION mine() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM gonogo.event; END",
        "CREATE MATERIALIZED VIEW mine AS SELECT id FROM gonogo.run",
    ],
)
def test_what_is_of_others_never_goes_with_it(desk: Desk, thing: str) -> None:
    done_run(desk)
    with psycopg.connect(desk.url, autocommit=True) as connection:
        connection.execute(thing.encode())
    said = uninstall(desk, "--yes", code=3)
    assert "something of others rests on the ledger" in said
    assert "mine" in said
    assert there(desk)


def test_where_the_record_cannot_be_kept_nothing_is_removed(desk: Desk, tmp_path: Path) -> None:
    done_run(desk)
    (tmp_path / "file").write_text("", encoding="utf-8")
    uninstall(desk, "--yes", "--output", str(tmp_path / "file" / "under" / "it.jsonl"), code=2)
    assert there(desk)


@pytest.mark.parametrize("desk", ["guarded"], indirect=True)
def test_the_record_of_a_protected_target_is_removed_by_one_of_its_people_alone(desk: Desk) -> None:
    assert desk.launch("--as", "lead", "--code", desk.code("lead")).returncode == 4
    desk.go("lead", "--code", desk.code("lead"), decision="no-go")
    assert desk.resume().returncode == 10
    for who in ((), ("--as", "lead"), ("--as", "mallory"), ("--as", "lead", "--code", "000000")):
        uninstall(desk, "--yes", *who, code=3)
        assert there(desk)
    # the same database by its other name is no way round
    done = desk("uninstall", "book", "--target", "open", "--yes")
    assert done.returncode == 3
    uninstall(desk, "--yes", "--as", "lead", "--code", desk.code("lead"))
    assert not there(desk)
