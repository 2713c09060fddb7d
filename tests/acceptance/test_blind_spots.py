"""What could be wrong after a plan without any of its checks noticing is named; what a check notices is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.command import environment, gonogo
from support.desk import Desk, Make, lay
from support.round_trips import PLANS
from support.round_trips import lay as lay_plan
from support.servers import Server

BOOK = """
runbook: book
targets: {db: {database: $TEST_URL}}
phases:
  - phase: one
    gate: {go_if: [quiet]}
    tasks:
      - task: work
        steps:
          - {step: tags, sql: a.sql, undo: a.undo.sql}
          - {step: prices, sql: b.sql, undo: b.undo.sql}
    verify: [VERIFY]
checks:
  quiet: {query: SELECT 0, expect: "= 0"}
  as_many: {query: SELECT count(*) - 2000 FROM tag, expect: "= 0"}
  counted: {query: SELECT count(*) FROM item WHERE id > 5000, expect: "= 0"}
  priced: {query: SELECT count(*) FROM item WHERE cents IS DISTINCT FROM price * 100, expect: "= 0"}
  labels: {query: SELECT count(*) FROM item FULL JOIN tag ON item = id WHERE label IS DISTINCT FROM name, expect: "= 0"}
  calls: {query: "SELECT sum(ten(n)) - 550 FROM generate_series(1, 10) n", expect: "= 0"}
  whole: {structure: {like: expected.json}, expect: "= 0"}
  answers: {http: {url: "http://127.0.0.1:9/"}, expect: "= 200"}
"""
FILES = {
    "a__sql": (
        "CREATE TABLE tag (item int NOT NULL REFERENCES item, label text);\nCREATE INDEX tag_item ON tag (item);\n"
        "INSERT INTO tag SELECT id, name FROM item;\nGRANT SELECT ON tag TO PUBLIC;\n"
    ),
    "a__undo__sql": "DROP TABLE tag;\n",
    "b__sql": (
        "ALTER TABLE item ADD COLUMN cents numeric CHECK (cents > 0);\nUPDATE item SET cents = price * 100;\n"
        "CREATE FUNCTION ten(n int) RETURNS int LANGUAGE sql AS 'SELECT n * 10';\n"
    ),
    "b__undo__sql": "DROP FUNCTION ten(int);\nALTER TABLE item DROP COLUMN cents;\n",
    "expected__json": "{}",
}
INDEX, TAG_FK, CHECK = "index tag_item", "constraint tag_item_fkey of tag", "constraint item_cents_check of item"
READ, TEN = "GRANT SELECT ON TABLE tag TO PUBLIC", "function ten(integer)"
OBJECTS = {
    (INDEX, "gone"),
    (TAG_FK, "gone"),
    (TAG_FK, "not validated"),
    (CHECK, "gone"),
    (CHECK, "not validated"),
    (READ, "missing"),
}
LABELS = {("public.tag.label", what) for what in ("another value", "no value")}
ITEMS = {("public.tag.item", what) for what in ("another value", "refers to another row")}
ROWS = {("public.tag", what) for what in ("a row is missing", "a row is there twice")}
CENTS = {("public.item.cents", what) for what in ("another value", "no value")}
FAILS = {(TEN, "raises in a third of its calls")}
ALL = OBJECTS | LABELS | ITEMS | ROWS | CENTS | FAILS


@pytest.fixture
def desk(make_project: Make, any_server: Server) -> Callable[..., Desk]:
    return lambda verify, **files: lay(make_project, any_server, BOOK.replace("VERIFY", verify), **{**FILES, **files})


def spots(shown: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (spot["where"].replace(" public.", " ").replace("public.tag_item", "tag_item"), spot["what"])
        for spot in shown["blind"]["spots"]
    }


def look(desk: Desk, code: int = 0) -> dict[str, Any]:
    shown = desk.rehearse("--blind-spots", code=code)
    assert [level["verdict"] for level in shown["levels"]] == ["restores exactly"], "what was planted was taken back"
    return shown


def test_what_no_check_looks_at_is_named_and_so_is_a_check_that_cannot_fail(desk: Callable[..., Desk]) -> None:
    shown = look(desk("as_many, counted"))

    assert spots(shown) == ALL - ROWS
    assert shown["blind"]["silent"] == ["counted"]
    assert (shown["blind"]["tried"], shown["blind"]["left_out"]) == (len(ALL), 0)
    by_step = {(spot["step"], spot["where"]) for spot in shown["blind"]["spots"]}
    assert ("work.tags", "public.tag.label") in by_step
    assert ("work.prices", "public.item.cents") in by_step


@pytest.mark.parametrize(
    ("verify", "noticed"),
    [
        ("priced", CENTS),
        ("labels", LABELS | ITEMS | {("public.tag", "a row is missing")}),
        ("calls", FAILS),
    ],
)
def test_what_a_check_notices_is_no_blind_spot(desk: Callable[..., Desk], verify: str, noticed: set[tuple[str, str]]) -> None:
    shown = look(desk(verify))

    assert spots(shown) == ALL - noticed
    assert shown["blind"]["silent"] == []


def test_a_schema_to_compare_with_notices_every_object(make_project: Make, server: Server) -> None:
    here = lay(make_project, server, BOOK.replace("VERIFY", "quiet"), **FILES)
    with psycopg.connect(here.url, autocommit=True) as connection:
        connection.execute(FILES["a__sql"])
        connection.execute(FILES["b__sql"])
    done = here("objects", "book")
    assert done.returncode == 0, done.stderr
    (here.project / "sql_templates/book/expected.json").write_text(done.stdout, encoding="utf-8")
    with psycopg.connect(here.url, autocommit=True) as connection:
        connection.execute(FILES["b__undo__sql"] + FILES["a__undo__sql"])
    (here.project / "runbooks/book.yaml").write_text(BOOK.replace("VERIFY", "whole"), encoding="utf-8")

    shown = look(here)

    assert spots(shown) == ALL - OBJECTS - FAILS


def test_the_same_wrongs_are_planted_each_time_and_what_cannot_be_asked_there_is_named(
    make_project: Make, server: Server
) -> None:
    answers = "success: [{criterion: it answers, check: answers}]\nchecks:\n"
    here = lay(make_project, server, BOOK.replace("VERIFY", "as_many, counted").replace("checks:\n", answers, 1), **FILES)

    first, second = look(here), look(here)

    assert first["blind"]["spots"] == second["blind"]["spots"]
    assert first["blind"]["not_asked"] == ["answers"]
    assert first["blind"]["untried"] == []


def test_a_runbook_can_ask_for_few_blind_spots_and_accept_one_with_its_reason(make_project: Make, server: Server) -> None:
    few = 'rehearsal: {blind_spots: "<= 1", accepted_spots: {public.tag.label: nobody reads it}}\nphases:'
    book = BOOK.replace("VERIFY", "as_many, priced, labels, calls").replace("phases:", few, 1)
    here = lay(make_project, server, book, **FILES)

    shown = here.rehearse(code=10)

    assert shown["shortcomings"].startswith(f"there are {len(OBJECTS)} blind spots, and <= 1 are asked for: ")
    done = here("run", "book", "--without-prefect")
    assert done.returncode == 10
    assert "blind spots, and <= 1 are asked for" in done.stdout
    (here.project / "runbooks/book.yaml").write_text(book.replace("<= 1", f"<= {len(OBJECTS)}"), encoding="utf-8")
    shown = here.rehearse()
    assert shown["shortcomings"] == ""
    (here.project / "runbooks/book.yaml").write_text(book.replace(", labels", "").replace("<= 1", "<= 10"), encoding="utf-8")
    shown = here.rehearse()
    accepted = {spot["where"]: spot["accepted"] for spot in shown["blind"]["spots"] if spot["accepted"]}
    assert accepted == {"public.tag.label": "nobody reads it"}
    page = max((here.project / ".gonogo/rehearsals").glob("*.md")).read_text(encoding="utf-8")
    assert "| work.tags | public.tag.label | another value | nobody reads it |" in page
    assert here("run", "book", "--without-prefect").returncode == 0


#: how many blind spots a plan's runbook has: none is added without a reason
PLANNED = {"guardian-multi-credit": 0, "goodbuy-hq": 0}


@pytest.mark.parametrize(
    "name", [*list(PLANNED)[:1], *(pytest.param(name, marks=pytest.mark.long) for name in list(PLANNED)[1:])]
)
def test_a_plans_checks_notice_what_could_be_wrong(name: str, server: Server, tmp_path: Path) -> None:
    _, env = lay_plan(next(plan for plan in PLANS if plan.name == name), server, tmp_path)

    done = gonogo("rehearse", name, "--blind-spots", "--json", cwd=tmp_path, env={**environment(), **env}, timeout=300)

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)["blind"]
    assert (len([spot for spot in found["spots"] if not spot["accepted"]]), found["left_out"]) == (PLANNED[name], 0), found[
        "spots"
    ]
    assert found["tried"] > 20
