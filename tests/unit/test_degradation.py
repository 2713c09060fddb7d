"""Percentiles have bounds that hold as often as they say, and a slow machine is not a slow change."""

from __future__ import annotations

from random import Random

import pytest

from gonogo.core.engine.percentiles import bounds, pace
from gonogo.core.engine.verdict import Measurement, Verdict, judge, judge_all
from gonogo.core.model.threshold import parse_threshold

RULE = parse_threshold("p50 > baseline + 50%")


def measured(samples: list[float], pace: float | None = 1.0) -> Measurement:
    ordered = sorted(samples)
    numbers = {f"p{p}": f"{ordered[max(0, -(-p * len(ordered) // 100) - 1)]}" for p in (50, 95)}
    return Measurement(check="c", numbers={**numbers, "value": numbers["p95"]}, samples=tuple(samples), yardstick=pace)


def calls(chance: Random, times: float, count: int = 50) -> list[float]:
    """Return latencies as they are: a floor, and a long tail."""
    return [times * (1 + chance.expovariate(2.0)) for _ in range(count)]


@pytest.mark.parametrize(("percent", "count"), [(50, 20), (50, 50), (95, 100), (95, 400), (50, 5000)])
def test_a_bound_holds_about_as_often_as_it_says(percent: int, count: int) -> None:
    chance = Random(7)  # noqa: S311 - it is a test
    kept = [0, 0]
    for _ in range(600):
        found = bounds([chance.random() for _ in range(count)], percent, 0.99)
        kept[0] += found.low is None or found.low <= percent / 100
        kept[1] += found.high is None or found.high >= percent / 100
    assert min(kept) >= 600 * 0.975


def test_too_few_calls_have_no_bound() -> None:
    assert bounds([], 50).low is None
    assert bounds([1.0, 2.0], 95).high is None
    assert bounds([1.0] * 20, 95).high is None, "twenty calls say nothing of what one in twenty is above"


def test_what_has_doubled_is_surely_above_half_as_much_again_and_what_is_the_same_never_is() -> None:
    chance = Random(3)  # noqa: S311 - it is a test
    found = {1.0: 0, 1.2: 0, 2.0: 0}
    for times in found:
        for _ in range(300):
            judged = judge(RULE, measured(calls(chance, times)), measured(calls(chance, 1.0)), surely=True)
            found[times] += judged.verdict is Verdict.PASS
    assert found[1.0] == 0
    assert found[1.2] <= 3
    assert found[2.0] >= 255


def test_a_line_that_is_crossed_by_chance_is_no_breach_and_says_so() -> None:
    now, before = [1.0] * 24 + [1.7] * 26, [1.0] * 50
    strict, sure = judge(RULE, measured(now), measured(before)), judge(RULE, measured(now), measured(before), surely=True)
    assert (strict.verdict, sure.verdict) == (Verdict.PASS, Verdict.FAIL)
    assert sure.sentence == "p50 1.7 ms is > 1.5 ms (baseline 1 ms), but only 1 ms is certain, and the limit is 1.5 ms"


@pytest.mark.parametrize(
    ("factor", "verdict"), [(1.0, Verdict.PASS), (1.2, Verdict.PASS), (2.0, Verdict.FAIL), (3.1, Verdict.INCONCLUSIVE)]
)
def test_a_machine_that_has_become_slower_moves_the_line_by_as_much_and_too_slow_a_one_says_nothing(
    factor: float, verdict: Verdict
) -> None:
    judged = judge(RULE, measured([2.0] * 50, factor), measured([1.0] * 50), surely=True)
    assert judged.verdict is verdict
    assert (factor < 2) or "times as long as at the baseline" in judged.sentence


@pytest.mark.parametrize(("factor", "verdict"), [(3.1, Verdict.PASS), (4.0, Verdict.PASS), (10.0, Verdict.INCONCLUSIVE)])
def test_what_is_far_beyond_even_a_very_slow_machine_is_a_breach(factor: float, verdict: Verdict) -> None:
    assert judge(RULE, measured([20.0] * 50, factor), measured([1.0] * 50), surely=True).verdict is verdict


def test_a_baseline_of_a_slow_moment_hides_nothing() -> None:
    assert pace(None, 1.0) == pace(1.0, None) == 1.0
    judged = judge(RULE, measured([2.0] * 50, 1.0), measured([2.0] * 50, 2.0), surely=True)
    assert (judged.verdict, judged.sentence) == (Verdict.PASS, "p50 2 ms is > 1.5 ms (baseline 1 ms)")
    assert judge(RULE, measured([1.4] * 50, 1.0), measured([2.0] * 50, 2.0), surely=True).verdict is Verdict.FAIL
    assert judge(RULE, measured([2.0] * 50, 1.0), measured([2.0] * 50, 2.0)).verdict is Verdict.FAIL, "strictly, as written"


@pytest.mark.parametrize("factor", [0.5, 0.34, 0.3, 0.1, 0.01])
def test_a_machine_that_has_become_faster_is_no_reason_to_say_nothing(factor: float) -> None:
    slow_moment = measured([3.0] * 50, 1.0)
    assert judge(RULE, measured([20.0] * 50, factor), slow_moment, surely=True).verdict is Verdict.PASS, "twenty is a breach"
    as_fast = measured([3.0 * max(factor, 1 / 3)] * 50, factor)
    assert judge(RULE, as_fast, slow_moment, surely=True).verdict is Verdict.FAIL, "what keeps pace is none"


def test_numbers_without_calls_are_compared_strictly_as_written() -> None:
    at, above = (Measurement(check="c", numbers={"p50": n}) for n in ("150", "150.1"))
    before = Measurement(check="c", numbers={"p50": "100"})
    assert judge(RULE, at, before, surely=True).verdict is Verdict.FAIL
    assert judge(RULE, above, before, surely=True).verdict is Verdict.PASS


def test_an_expectation_that_is_missed_but_not_surely_is_amber_and_one_that_surely_is_fails() -> None:
    rule = [parse_threshold("p50 <= baseline + 10%")]
    before = measured([1.0] * 50)
    assert judge_all(rule, None, measured([1.0] * 24 + [1.2] * 26), before).verdict is Verdict.AMBER
    assert judge_all(rule, None, measured([1.3] * 50), before).verdict is Verdict.FAIL
    assert judge_all(rule, RULE, measured([1.3] * 50), before).verdict is Verdict.AMBER, "short of the line that rolls back"
    assert judge_all(rule, RULE, measured([1.9] * 50), before).verdict is Verdict.FAIL
