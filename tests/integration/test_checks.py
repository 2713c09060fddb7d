"""What a check answers on a real server: never a pass without a finite number that was measured."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.servers import Server, visit

from checks.kind import CheckEnvironment
from checks.measure import measure
from gonogo.core.engine.verdict import Measurement, Verdict, judge_all
from gonogo.core.model.check import Check
from gonogo.postgres.connection import Connection, Database

ANSWERS = {
    "SELECT 0": (Verdict.PASS, "0 is = 0"),
    "SELECT 0.0::numeric": (Verdict.PASS, "0 is = 0"),
    "SELECT 7": (Verdict.FAIL, "7 is not = 0"),
    "SELECT NULL::int": (Verdict.INCONCLUSIVE, "the query answered NULL"),
    "SELECT 'NaN'::float8": (Verdict.INCONCLUSIVE, "no finite number"),
    "SELECT 'Infinity'::float8": (Verdict.INCONCLUSIVE, "no finite number"),
    "SELECT 0 WHERE false": (Verdict.INCONCLUSIVE, "the query answered no row"),
    "SELECT 0 UNION ALL SELECT 0": (Verdict.ERROR, "more than one row"),
    "SELECT 'zero'": (Verdict.ERROR, "answered str, not a number"),
    "SELECT false": (Verdict.ERROR, "answered bool, not a number"),
    "SELECT 0, 1, 2": (Verdict.ERROR, "has 3 columns"),
    "SELECT pg_sleep(9)": (Verdict.ERROR, "57014"),
    "SELECT 1 / 0": (Verdict.ERROR, "22012"),
    "SELECT nothing": (Verdict.ERROR, "42703"),
    "INSERT INTO kept VALUES (1) RETURNING 0": (Verdict.ERROR, "25006"),
}


@pytest.fixture(scope="module")
def connection(server: Server) -> Iterator[Connection]:
    with visit(Database(url=server.database())) as connection:
        connection.execute(b"CREATE TABLE kept (id int)")
        yield connection


def ask(connection: Connection, check: Check, text: str = "", baseline: Measurement | None = None) -> Measurement:
    """Ask as a run does: whatever goes wrong is part of the answer."""
    from gonogo.core.plan.plan import Plan, Script

    script = Script(source="q.sql", sha256="q")
    plan = Plan.model_construct(checks={"c": check}, questions={"c": script} if text else {})
    return measure(plan, "c", CheckEnvironment(texts={"q": text}), connection, baseline)


@pytest.mark.parametrize("sql", ANSWERS)
def test_every_answer_of_a_query_has_its_verdict(connection: Connection, sql: str) -> None:
    verdict, sentence = ANSWERS[sql]
    check = Check.model_validate({"sql": "q.sql", "expect": "= 0", "within": "300ms"})

    judged = judge_all(check.expectations, None, ask(connection, check, sql), None)

    assert (judged.verdict, sentence in judged.sentence) == (verdict, True), judged
    assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_check_that_may_write_leaves_nothing_behind(connection: Connection) -> None:
    check = Check.model_validate({"sql": "q.sql", "writes": True, "expect": "= 1"})

    measured = ask(connection, check, "WITH w AS (INSERT INTO kept VALUES (1) RETURNING 1) SELECT count(*), count(*) FROM w")

    assert (measured.numbers, measured.count, measured.error) == ({"value": "1"}, 1, "")
    assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_too_little_data_is_inconclusive_however_good_the_number_is(connection: Connection) -> None:
    check = Check.model_validate({"sql": "q.sql", "expect": "<= 10%", "at_least": "50 calls"})

    for calls, verdict in ((49, Verdict.INCONCLUSIVE), (50, Verdict.PASS)):
        measured = ask(connection, check, f"SELECT 0.0, {calls}")
        assert judge_all(check.expectations, None, measured, None, at_least=check.least).verdict is verdict


def test_a_latency_is_many_calls_and_a_slow_one_shows(connection: Connection) -> None:
    check = Check.model_validate({"time": "q.sql", "samples": 20, "expect": "p50 <= 5 ms"})

    quick, slow = ask(connection, check, "SELECT 1"), ask(connection, check, "SELECT pg_sleep(0.02)")

    assert (quick.count, slow.count) == (20, 20)
    assert float(quick.numbers["p50"]) < 5
    assert float(slow.numbers["p50"]) >= 20
    assert judge_all(check.expectations, None, slow, None).verdict is Verdict.FAIL


def test_a_latency_call_that_its_limit_cuts_counts_with_the_time_it_had(connection: Connection) -> None:
    check = Check.model_validate({"time": "q.sql", "samples": 20, "within": "200ms", "expect": "p95 <= 100 ms"})

    measured = ask(connection, check, "SELECT pg_sleep(5)")

    assert measured.count == 1
    assert float(measured.numbers["p95"]) >= 190
    assert judge_all(check.expectations, None, measured, None).verdict is Verdict.FAIL


def test_rows_and_checksums_are_compared_with_what_they_were_over_the_columns_there_were(connection: Connection) -> None:
    connection.execute(b"CREATE TABLE counted AS SELECT g AS id FROM generate_series(1, 10) AS g")
    for kind in ("rows", "checksum"):
        check = Check.model_validate({kind: ["counted"], "expect": "unchanged"})
        before = ask(connection, check)
        connection.execute(b"ALTER TABLE counted ADD note text DEFAULT 'new'")
        assert judge_all(check.expectations, None, ask(connection, check, baseline=before), before).verdict is Verdict.PASS
        connection.execute(b"DELETE FROM counted WHERE id = (SELECT max(id) FROM counted)")
        assert judge_all(check.expectations, None, ask(connection, check, baseline=before), before).verdict is Verdict.FAIL
        connection.execute(b"ALTER TABLE counted DROP note")
