from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gonogo.core.engine.verdict import Measurement, Verdict, judge, judge_all, number, say, trips, worst
from gonogo.core.model.threshold import parse_threshold

RULES = [
    "= 0",
    "!= 0",
    "< 5",
    "<= 5",
    "> 5",
    ">= 5",
    ">= 82%",
    "p95 <= 200 ms",
    "p95 <= 0.2 s",
    "p95 <= baseline + 10%",
    "p95 > baseline + 50% in 3 of 5",
    "mean < baseline",
    "max <= baseline + 5 ms",
    "min >= baseline - 5",
    "unchanged",
]
NO_NUMBERS = [None, "", "NaN", "nan", "sNaN", "-NaN", "Infinity", "-Infinity", "inf", "None", "null", "twelve", "1,5", "0x10"]


def measured(value: str | None = None, *, metric: str = "value", **more: object) -> Measurement:
    return Measurement.model_validate({"check": "c", "numbers": {} if value is None else {metric: value}, **more})


def verdict(rule: str, value: str | None, baseline: str | None = None, *, metric: str = "") -> Verdict:
    threshold = parse_threshold(rule)
    metric = metric or threshold.metric
    before = None if baseline is None else measured(baseline, metric=metric)
    return judge(threshold, measured(value, metric=metric), before).verdict


# exactly at the line


@pytest.mark.parametrize(
    ("rule", "value", "baseline", "expected"),
    [
        ("<= baseline + 10%", "165", "150", Verdict.PASS),
        ("<= baseline + 10%", "165.000", "150.000", Verdict.PASS),
        ("<= baseline + 10%", "165.001", "150", Verdict.FAIL),
        ("<= baseline + 10%", "165.0000000000001", "150", Verdict.FAIL),
        ("< baseline + 10%", "165", "150", Verdict.FAIL),
        ("< baseline + 10%", "164.999", "150", Verdict.PASS),
        ("<= baseline + 10%", "0.33", "0.3", Verdict.PASS),
        (">= baseline - 10%", "135", "150", Verdict.PASS),
        (">= baseline - 10%", "134.999", "150", Verdict.FAIL),
        ("<= baseline", "150", "150", Verdict.PASS),
        ("<= baseline", "150.001", "150", Verdict.FAIL),
        ("<= baseline + 5 ms", "155", "150", Verdict.PASS),
        ("<= baseline + 0.005 s", "155", "150", Verdict.PASS),
        ("<= baseline + 0.005 s", "155.001", "150", Verdict.FAIL),
        ("<= baseline", "0", "0", Verdict.PASS),
        ("<= baseline + 5", "5", "0", Verdict.PASS),
        ("> 20%", "0.20", None, Verdict.FAIL),
        ("> 20%", "0.2", None, Verdict.FAIL),
        ("> 20%", "0.2000001", None, Verdict.PASS),
        (">= 82%", "0.82", None, Verdict.PASS),
        (">= 82%", "0.8199999", None, Verdict.FAIL),
        ("<= 200 ms", "200", None, Verdict.PASS),
        ("<= 200 ms", "200.000", None, Verdict.PASS),
        ("<= 200 ms", "200.001", None, Verdict.FAIL),
        ("<= 0.2 s", "200", None, Verdict.PASS),
        ("= 0", "0", None, Verdict.PASS),
        ("= 0", "0.0", None, Verdict.PASS),
        ("= 0", "-0", None, Verdict.PASS),
        ("= 0", "0.0001", None, Verdict.FAIL),
        ("= 0.3", "0.3", None, Verdict.PASS),
        ("!= 0", "0", None, Verdict.FAIL),
        ("!= 0", "1", None, Verdict.PASS),
        ("> -5", "-4.9", None, Verdict.PASS),
    ],
)
def test_the_line_is_exact(rule: str, value: str, baseline: str | None, expected: Verdict) -> None:
    assert verdict(rule, value, baseline) is expected


@given(st.integers(1, 10**9), st.integers(0, 500))
@settings(deadline=None)
def test_a_value_at_the_line_meets_at_most_and_not_more_than(baseline: int, percent: int) -> None:
    line = Decimal(baseline) * (100 + percent) / 100
    above = line + Decimal("0.001")
    assert verdict(f"<= baseline + {percent}%", str(line), str(baseline)) is Verdict.PASS
    assert verdict(f"> baseline + {percent}%", str(line), str(baseline)) is Verdict.FAIL
    assert verdict(f"<= baseline + {percent}%", str(above), str(baseline)) is Verdict.FAIL
    assert verdict(f"> baseline + {percent}%", str(above), str(baseline)) is Verdict.PASS


def test_a_threshold_looks_at_its_own_metric_only() -> None:
    numbers = {"p50": "1", "p95": "300", "value": "1"}
    found = judge(parse_threshold("p95 <= 200 ms"), Measurement(check="c", numbers=numbers), None)
    assert found.verdict is Verdict.FAIL
    assert verdict("p95 <= 200 ms", "1", metric="p50") is Verdict.INCONCLUSIVE


# missing data is never a pass


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_is_not_a_finite_number_never_passes(rule: str, value: str | None) -> None:
    assert verdict(rule, value, "150") is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("rule", ["<= baseline + 10%", "> baseline - 10%", "<= baseline", "= baseline", "unchanged"])
@pytest.mark.parametrize("value", NO_NUMBERS)
def test_a_baseline_that_is_not_a_finite_number_never_passes(rule: str, value: str | None) -> None:
    before = "" if value is None else value
    assert verdict(rule, "150", before) is Verdict.INCONCLUSIVE
    assert verdict(rule, "150", None) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("value", ["0", "0.0", "-0", "0E+3"])
@pytest.mark.parametrize("rule", ["<= baseline + 10%", ">= baseline - 10%", "> baseline + 50%"])
def test_a_share_of_a_baseline_of_zero_says_nothing(rule: str, value: str) -> None:
    found = judge(parse_threshold(rule), measured("5"), measured(value))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "baseline is zero" in found.sentence


@pytest.mark.parametrize("rule", RULES)
def test_a_check_that_could_not_be_asked_is_an_error_and_one_without_an_answer_is_inconclusive(rule: str) -> None:
    threshold, before = parse_threshold(rule), measured("0", metric=parse_threshold(rule).metric)
    failed = measured("0", metric=threshold.metric, error="no such table")
    assert judge(threshold, failed, before).verdict is Verdict.ERROR
    assert "no such table" in judge(threshold, failed, before).sentence
    empty = measured("0", metric=threshold.metric, missing="the query answered NULL")
    assert judge(threshold, empty, before).verdict is Verdict.INCONCLUSIVE
    assert judge(threshold, empty, before).sentence == "the query answered NULL"


@pytest.mark.parametrize(
    ("count", "expected"),
    [(None, Verdict.INCONCLUSIVE), (0, Verdict.INCONCLUSIVE), (49, Verdict.INCONCLUSIVE), (50, Verdict.PASS)],
)
def test_an_answer_rests_on_at_least_as_much_data_as_asked_for(count: int | None, expected: Verdict) -> None:
    found = judge(parse_threshold("= 0"), measured("0", count=count), None, at_least=50)
    assert found.verdict is expected


def test_too_little_data_says_how_much_there_was() -> None:
    few = judge(parse_threshold("= 0"), measured("0", count=12), None, at_least=50)
    assert few.sentence == "too little data: 12 of at least 50"
    none = judge(parse_threshold("= 0"), measured("0"), None, at_least=50)
    assert none.sentence == "too little data: no count of at least 50"


_number = st.decimals(allow_nan=True, allow_infinity=True, min_value=None, max_value=None, places=3).map(str)
_texts = st.none() | st.sampled_from(NO_NUMBERS) | st.text(max_size=8) | _number | st.integers().map(str)


def usable(text: str | None) -> bool:
    try:
        return text is not None and Decimal(text).is_finite()
    except ArithmeticError:
        return False


@given(rule=st.sampled_from(RULES), value=_texts, before=_texts, count=st.none() | st.integers(0, 99), least=st.integers(0, 99))
@example(rule="unchanged", value="NaN", before="NaN", count=None, least=0)
@example(rule="unchanged", value=None, before=None, count=None, least=0)
@settings(max_examples=500, deadline=None)
def test_nothing_ever_passes_without_a_finite_number_and_enough_data(
    rule: str, value: str | None, before: str | None, count: int | None, least: int
) -> None:
    threshold = parse_threshold(rule)
    now = measured(value, metric=threshold.metric, count=count)
    then = None if before is None else measured(before, metric=threshold.metric)
    for found in (
        judge(threshold, now, then, at_least=least),
        judge_all([threshold], None, now, then, at_least=least),
        judge_all([threshold, threshold], parse_threshold("> 5"), now, then, at_least=least),
    ):
        if found.verdict is Verdict.PASS:
            assert usable(value)
            assert usable(before) or not threshold.needs_baseline
            assert least == 0 or (count is not None and count >= least)
        assert found.sentence


# unchanged


def test_unchanged_compares_fact_by_fact_and_says_what_changed() -> None:
    rule = parse_threshold("unchanged")
    before = Measurement(check="c", numbers={"value": "2"}, facts={"plans": "5 rows", "actions": "9 rows"})
    same = judge(rule, before, before)
    assert (same.verdict, same.sentence) == (Verdict.PASS, "2 unchanged")
    after = Measurement(check="c", numbers={"value": "2"}, facts={"plans": "6 rows", "extra": "1 rows"})
    found = judge(rule, after, before)
    assert found.verdict is Verdict.FAIL
    assert found.sentence == (
        "changed: actions was 9 rows and is absent; extra was absent and is 1 rows; plans was 5 rows and is 6 rows"
    )


@pytest.mark.parametrize(("now", "expected"), [("12", Verdict.PASS), ("12.0", Verdict.PASS), ("13", Verdict.FAIL)])
def test_unchanged_compares_numbers_as_numbers(now: str, expected: Verdict) -> None:
    assert judge(parse_threshold("unchanged"), measured(now), measured("12")).verdict is expected


@pytest.mark.parametrize("baseline", [None, measured(error="no"), measured(missing="no")])
def test_unchanged_without_a_usable_baseline_is_not_a_pass(baseline: Measurement | None) -> None:
    assert judge(parse_threshold("unchanged"), measured("12"), baseline).verdict is Verdict.INCONCLUSIVE


# several expectations, amber, the worst


def test_short_of_the_line_that_rolls_back_a_missed_expectation_is_amber() -> None:
    expect, breach = [parse_threshold("p95 <= baseline + 10%")], parse_threshold("p95 > baseline + 50%")
    before = measured("100", metric="p95")

    def found(value: str) -> Verdict:
        return judge_all(expect, breach, measured(value, metric="p95"), before).verdict

    assert [found(v) for v in ("110", "110.001", "150", "150.001")] == [
        Verdict.PASS,
        Verdict.AMBER,
        Verdict.AMBER,
        Verdict.FAIL,
    ]


def test_without_a_line_that_rolls_back_a_missed_expectation_fails() -> None:
    assert judge_all([parse_threshold("= 0")], None, measured("1"), None).verdict is Verdict.FAIL


def test_a_missed_expectation_is_not_amber_where_the_breach_cannot_be_judged() -> None:
    breach = parse_threshold("> baseline + 50%")
    assert judge_all([parse_threshold("= 0")], breach, measured("1"), None).verdict is Verdict.FAIL


def test_every_expectation_must_hold_and_the_worst_says_so() -> None:
    expect = [parse_threshold("<= 200 ms"), parse_threshold("<= baseline + 10%")]
    found = judge_all(expect, None, measured("180"), measured("150"))
    assert found.verdict is Verdict.FAIL
    assert found.sentence == "180 is not <= 165 (baseline 150)"
    assert judge_all(expect, None, measured("160"), measured("150")).verdict is Verdict.PASS
    assert judge_all(expect, None, measured("160"), None).verdict is Verdict.INCONCLUSIVE


def test_a_check_without_expectations_still_needs_its_answer() -> None:
    assert judge_all([], None, measured("1"), None).verdict is Verdict.PASS
    assert judge_all([], None, measured(error="no"), None).verdict is Verdict.ERROR
    assert judge_all([], None, measured(missing="no"), None).verdict is Verdict.INCONCLUSIVE
    assert judge_all([], None, measured("1"), None, at_least=5).verdict is Verdict.INCONCLUSIVE
    assert judge_all([], None, Measurement(check="c", facts={"plans": "5 rows"}), None).verdict is Verdict.PASS


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_a_check_without_expectations_does_not_pass_without_a_number(value: str | None) -> None:
    assert judge_all([], None, measured(value), None).verdict is Verdict.INCONCLUSIVE


def test_fail_is_worse_than_error_than_inconclusive_than_amber_than_pass() -> None:
    order = [Verdict.PASS, Verdict.AMBER, Verdict.INCONCLUSIVE, Verdict.ERROR, Verdict.FAIL]
    for i, better in enumerate(order):
        for worse in order[i:]:
            assert worst([better, worse]) is worse
            assert worst([worse, better]) is worse
    assert worst([]) is Verdict.PASS


# k of n


def test_a_single_breach_does_not_trip_but_two_of_three_do() -> None:
    rule = parse_threshold("> 10% in 2 of 3")
    assert not trips(rule, [True])
    assert not trips(rule, [False, False, True])
    assert not trips(rule, [True, False, False, True])
    assert trips(rule, [True, True])
    assert trips(rule, [True, False, True])
    assert trips(rule, [False, False, False, True, True])


def test_one_of_one_trips_at_once_and_no_sample_trips_nothing() -> None:
    assert trips(parse_threshold("> 5"), [False, True])
    assert not trips(parse_threshold("> 5"), [True, False])
    assert not trips(parse_threshold("> 5"), [])
    assert not trips(parse_threshold("> 5 in 3 of 3"), [True, True])


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 6), st.integers(0, 6))
def test_k_of_n_counts_the_newest_n_only(breaches: list[bool], k: int, more: int) -> None:
    n = k + more
    rule = parse_threshold(f"> 1 in {k} of {n}")
    assert (rule.k, rule.n) == (k, n)
    assert trips(rule, breaches) == (sum(list(reversed(breaches))[:n]) >= k)


# reading thresholds


def test_a_threshold_is_read_part_by_part() -> None:
    read = parse_threshold("  p95 > baseline + 50% in 3 of 5 ")
    assert (read.metric, read.op, read.bound, read.delta, read.relative) == ("p95", ">", None, Decimal("0.5"), True)
    assert (read.k, read.n, read.needs_baseline, read.unchanged) == (3, 5, True, False)
    assert read.text == "p95 > baseline + 50% in 3 of 5"
    assert parse_threshold("<= 1.5 s").bound == 1500
    assert parse_threshold("< baseline - 5").delta == -5
    assert parse_threshold("unchanged").unchanged
    assert parse_threshold("unchanged").needs_baseline
    assert not parse_threshold("= 0").needs_baseline


@pytest.mark.parametrize(
    "text",
    [
        *["", "0", 0, 5, 1.5, True, None, [], {}, "== 0", "=> 5", "5 < value", "< ", "< ten", "< 1e5", "< 5 apples"],
        *["< NaN", "< Infinity", "p95", "p96 < 5", "P95 < 5", "< baseline +", "< baseline * 2", "< 5 in 2", "< 5 in of 3"],
        *["< 5 in 0 of 3", "< 5 in 4 of 3", "< 5 in 2 of 2000", "changed", "unchanged in 2 of 3", "< ٣", "< 5; drop", "< 5\n> 6"],
    ],
)
def test_what_is_not_a_threshold_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"not a threshold|names the metric|asks for"):
        parse_threshold(text)


# saying


def test_a_sentence_holds_both_numbers() -> None:
    found = judge(parse_threshold("p95 <= baseline + 10%"), measured("170", metric="p95"), measured("150", metric="p95"))
    assert found.sentence == "p95 170 is not <= 165 (baseline 150)"
    assert judge(parse_threshold("= 0"), measured("3"), None).sentence == "3 is not = 0"
    assert judge(parse_threshold("= 0"), measured("0"), None).sentence == "0 is = 0"


@pytest.mark.parametrize(
    ("value", "said"), [("0", "0"), ("-0", "0"), ("100", "100"), ("1.50", "1.5"), ("0.12345", "0.123"), ("1E+3", "1000")]
)
def test_numbers_are_said_short_but_never_lose_their_zeros(value: str, said: str) -> None:
    assert say(Decimal(value)) == said


def test_a_number_is_read_or_there_is_none() -> None:
    assert number("165.001") == Decimal("165.001")
    assert [number(text) for text in NO_NUMBERS] == [None] * len(NO_NUMBERS)
