"""What is read of migrations that others wrote: which blocks of a plan act, and what is around a file and not of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gonogo.importers.read import read_plan
from gonogo.migrations.changes import unwrapped

ONLY_LOOK = (
    "SELECT count(*) FROM a",
    "SELECT pg_size_pretty(pg_total_relation_size('a')), to_char(now(), 'x') FROM a WHERE b IN (1) AND EXISTS (SELECT 1)",
    "EXPLAIN ANALYZE SELECT * FROM a WHERE id = (SELECT max(id) FROM a)",
    "WITH x AS (SELECT round(avg(n)::numeric(5,2), 2) FROM a) SELECT * FROM x -- update nothing(",
    "SELECT 'INSERT INTO a (b)'",
)
ACT = (
    "SELECT give_credits(5)",
    "SELECT setval('a_id_seq', 7)",
    "SELECT cron.schedule('a', 'b', 'c')",
    "SELECT pg_stat_reset()",
    "SELECT * INTO b FROM a",
    "WITH gone AS (DELETE FROM a RETURNING *) SELECT count(*) FROM gone",
)


@pytest.mark.parametrize("sql", [*ONLY_LOOK, *ACT])
def test_a_select_that_calls_a_function_of_somebodys_is_a_step_and_one_that_only_looks_is_none(sql: str) -> None:
    found = read_plan(Path("plan.md"), f"# Step 1\n\n```sql\nCREATE TABLE a ();\n```\n\n# Step 2\n\n```sql\n{sql};\n```\n")
    assert (len(found.changes), len(found.queries)) == ((1, 1) if sql in ONLY_LOOK else (2, 0))


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("BEGIN;\nSELECT 1;\nCOMMIT;\n", "SELECT 1;"),
        ("-- why\n/* and\nhow */ start transaction;SELECT 1;end -- done", "SELECT 1;end"),
        ("begin work;\nSELECT 1;\nCOMMIT WORK; -- done\n", "SELECT 1;"),
        ("BEGIN;\nSELECT 1;\n", "BEGIN;\nSELECT 1;"),
        ("SELECT 1;\nCOMMIT;", "SELECT 1;\nCOMMIT;"),
        ("BEGIN;\nSELECT 1;\nCOMMIT:;", "BEGIN;\nSELECT 1;\nCOMMIT:;"),
        ("BEGIN; SELECT 1; COMMIT; BEGIN; SELECT 2; COMMIT;", "SELECT 1; COMMIT; BEGIN; SELECT 2;"),
        ("CREATE FUNCTION f() AS $$ BEGIN; END; $$", "CREATE FUNCTION f() AS $$ BEGIN; END; $$"),
    ],
)
def test_a_transaction_around_a_whole_file_is_taken_off_and_nothing_else(text: str, inside: str) -> None:
    made = unwrapped(text)
    assert inside in made
    assert made.count("\n") == text.count("\n"), "what is said of a line is said of the same one"
    if "BEGIN" not in inside.upper() and "COMMIT" not in inside.upper():
        assert "begin" not in made.lower().replace("-- why", "")


@given(st.text(alphabet=" \n-*/;'$beginENDCOMMIT", max_size=80))
def test_what_is_taken_off_never_moves_a_line(text: str) -> None:
    assert unwrapped(text).count("\n") == text.count("\n")
