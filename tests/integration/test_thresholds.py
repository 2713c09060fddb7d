"""Every line that the five plans draw, at it, just below it and just above it: measured on a real database, judged as written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.servers import Server, visit

from checks.kind import CheckEnvironment
from checks.measure import measure
from gonogo.core.engine.verdict import Measurement, Verdict, judge, judge_all
from gonogo.core.model.check import Check
from gonogo.core.plan.plan import Plan
from gonogo.postgres.connection import Connection, Database

PASS, AMBER, FAIL = Verdict.PASS, Verdict.AMBER, Verdict.FAIL
#: what a check answers, and what comes of it: its verdict, and whether one such sample is a breach
Case = tuple[str, Verdict, bool | None]
DEGRADES = {"expect": "< baseline + 5%", "roll_back_if": "> baseline + 20%"}
SLOWS = {"expect": ["<= 200 ms", "<= baseline + 10%"], "roll_back_if": "> baseline + 50%"}
#: what the plan says: the check, what was before, and the cases
LINES: dict[str, tuple[dict[str, Any], str, tuple[Case, ...]]] = {
    "001: performance degradation > 20 % rolls back, < 5 % is success, between lies amber": (
        DEGRADES,
        "100",
        (("104.9", PASS, False), ("105", AMBER, False), ("120", AMBER, False), ("120.0", AMBER, False), ("120.1", FAIL, True)),
    ),
    "001: integrity violations > 0": (
        {"expect": "= 0", "roll_back_if": "> 0"},
        "",
        (("0", PASS, False), ("1", FAIL, True)),
    ),
    "001: should be 0": ({"expect": "= 0"}, "", (("-1", FAIL, None), ("0", PASS, None), ("1", FAIL, None))),
    "002: downtime < 30 minutes": (
        {"expect": "< 1800"},
        "",
        (("1799.9", PASS, None), ("1800", FAIL, None), ("1801", FAIL, None)),
    ),
    "003: query < 100 ms": ({"expect": "< 100"}, "", (("99.999", PASS, None), ("100", FAIL, None), ("100.001", FAIL, None))),
    "003: 10,000+ users": ({"expect": ">= 10000"}, "", (("9999", FAIL, None), ("10000", PASS, None), ("10001", PASS, None))),
    "003: 500 connections at most": ({"expect": "<= 500"}, "", (("499", PASS, None), ("500", PASS, None), ("501", FAIL, None))),
    "003: 1,000 TPS": ({"expect": ">= 1000"}, "", (("999.9", FAIL, None), ("1000", PASS, None), ("1000.1", PASS, None))),
    "003: 99.9 % uptime": ({"expect": ">= 99.9%"}, "", (("0.9989", FAIL, None), ("0.999", PASS, None), ("0.9991", PASS, None))),
    "003: recovery < 15 minutes": ({"expect": "< 900"}, "", (("899", PASS, None), ("900", FAIL, None))),
    "003: create < 200 ms": ({"expect": "< 200 ms"}, "", (("199.9", PASS, None), ("200", FAIL, None))),
    "003: purchase < 500 ms": ({"expect": "< 0.5 s"}, "", (("499.9", PASS, None), ("500", FAIL, None))),
    "003: alert above 80": ({"expect": "<= 80", "roll_back_if": "> 80"}, "", (("80", PASS, False), ("80.1", FAIL, True))),
    "003: alert above 10": ({"expect": "<= 10", "roll_back_if": "> 10"}, "", (("10", PASS, False), ("11", FAIL, True))),
    "003: alert below 5": ({"expect": ">= 5", "roll_back_if": "< 5"}, "", (("5", PASS, False), ("4.9", FAIL, True))),
    "004: function failures > 10 %": (
        {"expect": "= 0", "roll_back_if": "> 10%", "at_least": "50 calls"},
        "",
        (
            ("0.1, 100", AMBER, False),
            ("0.11, 100", FAIL, True),
            ("0.0999, 1000", AMBER, False),
            ("0.5, 2", Verdict.INCONCLUSIVE, None),
        ),
    ),
    "004: one metric and three lines": (
        SLOWS,
        "150",
        (
            ("150", PASS, False),
            ("165", PASS, False),
            ("166", AMBER, False),
            ("200", AMBER, False),
            ("201", AMBER, False),
            ("225", AMBER, False),
            ("226", FAIL, True),
        ),
    ),
    "004: <= 200 ms alone": ({"expect": "<= 200 ms"}, "", (("199", PASS, None), ("200", PASS, None), ("200.1", FAIL, None))),
    "004: query times <= baseline + 10 %": (
        {"expect": "<= baseline + 10%"},
        "150",
        (("164.9", PASS, None), ("165", PASS, None), ("165.1", FAIL, None)),
    ),
    "004: margin >= 82 %": ({"expect": ">= 82%"}, "", (("0.819", FAIL, None), ("0.82", PASS, None), ("0.821", PASS, None))),
    "004: rollback <= 45 minutes": ({"expect": "<= 2700"}, "", (("2700", PASS, None), ("2700.1", FAIL, None))),
    "004: 100 % uptime": ({"expect": "= 0"}, "", (("0", PASS, None), ("1", FAIL, None))),
    "a baseline of zero compares with nothing": (DEGRADES, "0", (("5", Verdict.INCONCLUSIVE, None),)),
    "a value that is no number is none": (
        {"expect": "= 0", "roll_back_if": "> 0"},
        "",
        (
            ("NULL::int", Verdict.INCONCLUSIVE, None),
            ("'NaN'::float8", Verdict.INCONCLUSIVE, None),
            ("'-Infinity'::float8", Verdict.INCONCLUSIVE, None),
            ("'text'", Verdict.ERROR, None),
            ("1/0", Verdict.ERROR, None),
            ("pg_sleep(9)::text", Verdict.ERROR, None),
        ),
    ),
}
CASES = [(line, case) for line, (_, _, cases) in LINES.items() for case in cases]


@pytest.fixture(scope="module")
def connection(server: Server) -> Iterator[Connection]:
    with visit(Database(url=server.database())) as connection:
        yield connection


def ask(connection: Connection, check: Check, answer: str) -> Measurement:
    asked = check.model_copy(update={"query": f"SELECT {answer}"})
    return measure(Plan.model_construct(checks={"c": asked}, questions={}), "c", CheckEnvironment(), connection)


@pytest.mark.parametrize(("line", "case"), CASES, ids=[f"{line}: {case[0]}" for line, case in CASES])
def test_each_side_of_a_line_has_its_verdict(connection: Connection, line: str, case: Case) -> None:
    rules, before, _ = LINES[line]
    answer, verdict, breach = case
    check = Check.model_validate({"query": "SELECT 1", "within": "300ms", **rules})
    baseline = ask(connection, check, before) if before else None

    measured = ask(connection, check, answer)

    assert judge_all(check.expectations, check.breach, measured, baseline, at_least=check.least).verdict is verdict
    if check.breach is not None:
        found = judge(check.breach, measured, baseline, at_least=check.least).verdict
        assert (found is PASS) if breach else (found is not PASS)
        assert breach is not None or found in (Verdict.INCONCLUSIVE, Verdict.ERROR)
