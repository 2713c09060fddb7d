"""A rehearsal goes forward and back on a restored copy, and names every way back that looks right and is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

import psycopg
import pytest
from support.desk import BOOK, GOOD, Desk, Make, lay
from support.servers import Server

ABOUT_A = ("work.first", "does not restore")
#: undos that look right, what they come to, and the words that name what is wrong
GALLERY: dict[str, tuple[dict[str, str], tuple[str, str], str]] = {
    "an undo that forgets a column": (
        {"a__sql": "ALTER TABLE item ADD COLUMN colour text, ADD COLUMN size int;\n"},
        ABOUT_A,
        "column public.item.size is new",
    ),
    "an undo that drops a grant": (
        {
            "a__sql": "ALTER TABLE item RENAME TO article;\n",
            "a__undo__sql": "ALTER TABLE article RENAME TO item; REVOKE ALL ON item FROM PUBLIC;\n",
            "b__sql": "CREATE TABLE extra AS SELECT id FROM article;\n",
        },
        ABOUT_A,
        "table public.item was",
    ),
    "an undo that switches a trigger on that was off": (
        {
            "a__sql": "ALTER TABLE sale DISABLE TRIGGER USER; UPDATE sale SET item = item;\n",
            "a__undo__sql": "ALTER TABLE sale ENABLE TRIGGER USER;\n",
        },
        ABOUT_A,
        "trigger public.sale stamped was",
    ),
    "an undo that loses rows": (
        {"a__sql": "CREATE TABLE kept AS SELECT * FROM sale WHERE item < 400; DELETE FROM sale;\n",
         "a__undo__sql": "INSERT INTO sale OVERRIDING SYSTEM VALUE SELECT * FROM kept; DROP TABLE kept;\n"},
        ABOUT_A,
        "the rows of public.sale were 500 and are 399",
    ),
    "an undo that brings the rows back with other values": (
        {"a__sql": "UPDATE item SET price = price;\n", "a__undo__sql": "UPDATE item SET price = price + 0.00 WHERE id = 7"},
        ABOUT_A,
        "the rows of public.item are 2000 as before, but not the same",
    ),
    "an undo that leaves a changed function behind": (
        {
            "a__sql": "CREATE OR REPLACE FUNCTION total() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint';\n",
            "a__undo__sql": "SELECT 1;\n",
        },
        ABOUT_A,
        "function public.total()",
    ),
    "an undo that depends on an object made later": (
        {"a__undo__sql": "DELETE FROM extra; ALTER TABLE item DROP COLUMN colour;\n"},
        ("work.first", "fails"),
        'relation "extra" does not exist',
    ),
    "a step that says there is nothing to undo, and left something": (
        {"book": BOOK.replace("undo: a.undo.sql", "undo: nothing")},
        ABOUT_A,
        "column public.item.colour is new",
    ),
}  # fmt: skip


def step(evidence: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in evidence["steps"] if each["step"] == name)
    return found


@pytest.fixture
def desk(make_project: Make, server: Server) -> Callable[..., Desk]:
    return lambda book=BOOK, **files: lay(make_project, server, book, **files)


@pytest.fixture
def any_desk(make_project: Make, any_server: Server) -> Callable[..., Desk]:
    return lambda book=BOOK, **files: lay(make_project, any_server, book, **files)


def test_a_good_plan_goes_forward_and_back_and_the_target_is_not_changed(any_desk: Callable[..., Desk]) -> None:
    here = any_desk()

    evidence = here.rehearse("--each-step")

    assert evidence["shortcomings"] == ""
    assert [(each["step"], each["verdict"]) for each in evidence["steps"]] == [
        ("work.first", "restores exactly"),
        ("work.second", "restores exactly"),
    ]
    assert step(evidence, "work.first")["locks"] == ["ACCESS EXCLUSIVE on item"]
    assert [level["verdict"] for level in evidence["levels"]] == ["restores exactly"]
    assert evidence["rows"] == 2500
    with psycopg.connect(here.url) as connection:
        assert connection.execute("SELECT to_regclass('extra')").fetchone() == (None,)
        query = "SELECT count(*) FROM pg_database WHERE datname LIKE 'gonogo_scratch%'"
        assert connection.execute(query).fetchone() == (0,), "the copy is gone"
        kept = connection.execute("SELECT body->>'seal' FROM gonogo.event WHERE kind = 'rehearsed'").fetchone()
        assert kept == (evidence["seal"],)
    assert "restores exactly" in next((here.project / ".gonogo/rehearsals").glob("*.md")).read_text()


@pytest.mark.parametrize("each_step", [False, True], ids=["as a whole", "each step"])
@pytest.mark.parametrize("case", GALLERY)
def test_a_way_back_that_looks_right_and_is_not_is_named(desk: Callable[..., Desk], case: str, each_step: bool) -> None:
    files, (name, verdict), words = GALLERY[case]
    here = desk(**files)

    evidence = here.rehearse(*(["--each-step"] if each_step else []), code=10)

    assert step(evidence, name)["verdict"] == verdict
    told = "; ".join([*step(evidence, name)["differences"], *evidence["levels"][0]["differences"]])
    assert words in told
    assert evidence["shortcomings"]


def test_a_step_that_does_not_go_forward_is_named_and_nothing_stands(desk: Callable[..., Desk]) -> None:
    evidence = desk(b__sql="CREATE TABLE extra AS SELECT missing FROM item;\n").rehearse(code=10)

    assert evidence["forward"]["outcome"] == "rolled back"
    assert 'column "missing" does not exist' in evidence["shortcomings"]


def test_a_column_that_comes_back_in_another_place_is_told_apart(desk: Callable[..., Desk]) -> None:
    moved = {
        "a__sql": "ALTER TABLE item DROP COLUMN price;\n",
        "a__undo__sql": "ALTER TABLE item ADD COLUMN price numeric DEFAULT 1; UPDATE item SET price = id;"
        " ALTER TABLE item DROP COLUMN name; ALTER TABLE item ADD COLUMN name text; UPDATE item SET name = 'item ' || id;"
        " ALTER TABLE item ALTER COLUMN name SET NOT NULL; CREATE INDEX item_name ON item (name);\n",
    }

    evidence = desk(**moved).rehearse()

    assert step(evidence, "work.first")["verdict"] == "restores but for column order"
    assert "the columns of public.item are in another order" in step(evidence, "work.first")["differences"][0]


def test_a_rewrite_and_a_plan_that_changes_are_seen(any_desk: Callable[..., Desk]) -> None:
    book = BOOK.replace(
        "checks:", "baseline: [lookup]\nchecks:\n  lookup: {time: lookup.sql, samples: 5, expect: 'p95 <= 1000 ms'}"
    )
    files = {
        "lookup__sql": "SELECT id FROM item WHERE name = 'item 7'\n",
        "a__sql": "ALTER TABLE item ALTER COLUMN id TYPE bigint;\n",
        "a__undo__sql": "ALTER TABLE item ALTER COLUMN id TYPE int;\n",
        "b__sql": "DROP INDEX item_name;\n",
        "b__undo__sql": "CREATE INDEX item_name ON item (name);\n",
    }

    here = any_desk(book, **files)
    with psycopg.connect(here.url, autocommit=True) as connection:
        # it takes the empty pages from the end of a rewritten table, at a moment of its own
        connection.execute("ALTER TABLE item SET (autovacuum_enabled = off)")
    evidence = here.rehearse()

    assert step(evidence, "work.first")["rewrites"] == ["item"]
    assert step(evidence, "work.first")["wal"] > 10_000
    query = evidence["queries"][0]
    assert any("Index Scan" in node or "Bitmap" in node for node in query["before"]["shape"])
    assert query["after"]["shape"] == ["Seq Scan on item"]
    assert query["after"]["buffers"] > query["before"]["buffers"]
    first, second = (step(evidence, name)["queries"]["lookup"] for name in ("work.first", "work.second"))
    assert not first["another_plan"], "it is the second step that takes the index away"
    assert second["another_plan"]
    assert second["buffers"] == [query["before"]["buffers"], query["after"]["buffers"]]
    assert all(took > 0 for took in second["ms"])


REQUIRED = BOOK.replace("phases:", "rehearsal: {fresh_for: 1h}\nphases:", 1).replace("[quiet]}", "[quiet, rehearsal_fresh]}")


def test_without_a_rehearsal_of_just_this_plan_on_just_this_schema_the_gate_is_no_go(desk: Callable[..., Desk]) -> None:
    here = desk(REQUIRED)

    def launch() -> CompletedProcess[str]:
        return here("run", "book", "--without-prefect")

    done = launch()
    assert done.returncode == 10
    assert "rehearsal: there is none; rehearse it: gonogo rehearse book --target db" in done.stdout

    here.rehearse()
    (here.project / "sql_templates/book/b.sql").write_text("CREATE TABLE extra AS SELECT id, name FROM item;\n")
    done = launch()
    assert done.returncode == 10
    assert "what was rehearsed is not what would run" in done.stdout

    here.rehearse()
    with psycopg.connect(here.url, autocommit=True) as connection:
        connection.execute("ALTER TABLE sale ADD COLUMN note text")
    done = launch()
    assert done.returncode == 10
    assert "the target has changed since: column public.sale.note is new" in done.stdout

    here.rehearse()
    with psycopg.connect(here.url, autocommit=True) as connection:
        connection.execute("ALTER TABLE gonogo.event DISABLE TRIGGER append_only")
        connection.execute(
            "UPDATE gonogo.event SET body = replace(body::text, substr(body->>'at', 1, 19), '2025-10-12T16:53:00')::json"
            " WHERE kind = 'rehearsed'"
        )
    done = launch()
    assert done.returncode == 10
    assert "days old, and 1h is the most" in done.stdout or "old, and 1h is the most" in done.stdout

    here.rehearse()
    done = launch()
    assert done.returncode == 0, done.stdout
    assert "rehearsal_fresh" in here("report", "book", "--format", "md").stdout


def test_a_rehearsal_that_did_not_stand_does_not_let_a_run_begin(desk: Callable[..., Desk]) -> None:
    here = desk(REQUIRED, a__undo__sql="SELECT 1;\n")
    here.rehearse(code=10)

    done = here("run", "book", "--without-prefect")

    assert done.returncode == 10
    assert "no rollback level restored what was there" in done.stdout


def test_the_window_must_have_room_for_the_way_back(desk: Callable[..., Desk]) -> None:
    book = BOOK.replace("phases:", 'schedule: {zone: UTC, end_by: "2099-01-01T00:00"}\nrollback: {takes: 700000h}\nphases:', 1)

    done = desk(book)("run", "book", "--without-prefect")

    assert done.returncode == 10
    assert "rolling back takes" in done.stdout
    assert "was the last safe start" in done.stdout


def test_a_sequence_that_stays_behind_is_no_exact_restoration(desk: Callable[..., Desk]) -> None:
    files = {
        "a__sql": "ALTER SEQUENCE sale_id_seq RESTART WITH 1; SELECT nextval('sale_id_seq');\n",
        "a__undo__sql": "SELECT 1;\n",
    }

    evidence = desk(**files).rehearse(code=10)

    assert "the sequence public.sale_id_seq was at 500" in "; ".join(step(evidence, "work.first")["differences"])


def test_a_backup_of_another_database_is_not_rehearsed_on(desk: Callable[..., Desk]) -> None:
    here = desk()
    assert here("backup", "take", "book").returncode == 0
    folder = next((here.project / ".gonogo/backups").iterdir())
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"database": "', '"database": "x'))

    done = here("rehearse", "book", "--backup", str(folder))

    assert done.returncode == 3
    assert "is a backup of another database" in done.stderr
    manifest.write_text("{}")
    done = here("rehearse", "book", "--backup", str(folder))
    assert done.returncode == 3
    assert "manifest.json is damaged" in done.stderr


def test_a_schema_that_changed_after_the_rehearsal_was_looked_up_is_no_go(desk: Callable[..., Desk]) -> None:
    book = REQUIRED.replace("go_if: [quiet, rehearsal_fresh]", "go_if: [quiet, rehearsal_fresh], approve: {roles: lead}").replace(
        "rehearsal: {fresh", "people: {ann: {name: Ann, roles: lead}}\nrehearsal: {fresh"
    )
    here = desk(book)
    here.rehearse()
    assert here("run", "book", "--without-prefect", "--no-wait").returncode == 4
    with psycopg.connect(here.url, autocommit=True) as connection:
        connection.execute("ALTER TABLE sale ADD COLUMN note text")
    assert here("go", "book", "--as", "ann").returncode == 0

    done = here("resume", "book", "--without-prefect")

    assert done.returncode == 10
    assert "the target has changed since it was rehearsed" in done.stdout


def test_roles_and_settings_of_the_whole_server_are_not_changed_by_a_rehearsal(desk: Callable[..., Desk]) -> None:
    here = desk(a__sql="CREATE ROLE made_by_a_rehearsal;\n", a__undo__sql="DROP ROLE made_by_a_rehearsal;\n")

    evidence = here.rehearse()

    assert evidence["on"] == "the embedded PostgreSQL"
    with psycopg.connect(here.url, autocommit=True) as connection:
        query = "SELECT count(*) FROM pg_roles WHERE rolname = 'made_by_a_rehearsal'"
        assert connection.execute(query).fetchone() == (0,)


def test_an_exception_block_of_the_runs_own_is_not_taken_for_the_application(desk: Callable[..., Desk]) -> None:
    block = "DO $$ BEGIN BEGIN INSERT INTO extra SELECT 1; EXCEPTION WHEN division_by_zero THEN NULL; END; END $$;\n"
    evidence = desk(b__sql="CREATE TABLE extra (id int); " + block).rehearse()
    assert evidence["shortcomings"] == ""


def test_a_rehearsal_measures_the_old_and_the_new_in_roll_and_says_what_would_turn_the_run_back(
    desk: Callable[..., Desk],
) -> None:
    priced = "priced: {time: p.sql, samples: 20, expect: p50 <= 9 s, roll_back_if: p50 > baseline + 50%}"
    book = BOOK.replace("checks:", f"    watch: [priced]\nchecks:\n  {priced}")
    slow = (
        "CREATE OR REPLACE FUNCTION total() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM generate_series(1, 100000)';\n"
    )
    quick = "CREATE OR REPLACE FUNCTION total() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM sale';\n"
    query = {"p__sql": "SELECT total()\n"}
    same = desk(book, **GOOD, **query)("rehearse", "book", "--json")
    assert same.returncode == 0, same.stdout + same.stderr
    latency = json.loads(same.stdout)["queries"][0]["latency"]
    assert latency["slower"] is False
    assert float(latency["before"]) > 0

    done = desk(book, **{**GOOD, **query, "a__sql": slow, "a__undo__sql": quick})("rehearse", "book")
    assert done.returncode == 10, done.stdout + done.stderr
    assert "priced would roll it back: p50" in done.stdout
