"""Measure, judge, act are three places: this one judges, by numbers it is given.

A verdict is *pass*, *amber* (neither success nor a reason to roll back), *fail*, *inconclusive*
(no or too little data) or *error* (it could not be asked). Missing data is never a pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from gonogo.core.engine.percentiles import TOO_FAR, bounds, pace, percentile_of
from gonogo.core.model.threshold import TIMES, Threshold


class Verdict(StrEnum):
    """Best to worst."""

    PASS = "pass"  # noqa: S105 - a verdict
    AMBER = "amber"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    FAIL = "fail"


#: how many of the things that a number counts a sentence names
_FEW = 5
#: a change of the machine's pace that is worth telling
_PACE_TOLD = 0.05
#: what a line is when it is missed
_MISSED = {"<": ">=", "<=": ">"}
_SEVERITY = {verdict: rank for rank, verdict in enumerate(Verdict)}


class Measurement(BaseModel):
    """A check's answer at a moment: numbers by metric, how much data they rest on, or why there are none."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    check: str
    numbers: Mapping[str, str] = {}
    count: int | None = None
    facts: Mapping[str, str] = {}
    error: str = ""
    #: what the number counts, or rests on, for people; older ledgers call it `told`
    notes: tuple[str, ...] = Field(default=(), validation_alias=AliasChoices("notes", "told"))
    #: every single measurement that the numbers were made of, in milliseconds
    samples: tuple[float, ...] = ()
    #: how long a fixed piece of work took meanwhile, in milliseconds: the machine's own pace
    yardstick: float | None = None
    #: why there is no number, when the question could be asked
    missing: str = ""
    #: what PostgreSQL calls the error, in five characters
    sqlstate: str = ""
    seconds: float = 0.0


class Judgement(BaseModel):
    """A verdict with its sentence; the sentence holds both numbers."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    check: str
    verdict: Verdict
    sentence: str


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of them; of none, pass."""
    return max(verdicts, key=_SEVERITY.__getitem__, default=Verdict.PASS)


def number(text: str | None) -> Decimal | None:
    """Read a measured number; None when it is missing, NaN or infinite."""
    if text is None:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def say(value: Decimal) -> str:
    """Write a number as people do: at most three decimals and no trailing zeros."""
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return text if text not in {"", "-0"} else "0"


def _unusable(measured: Measurement, at_least: int) -> Judgement | None:
    if measured.error:
        return Judgement(check=measured.check, verdict=Verdict.ERROR, sentence=f"could not ask: {measured.error}")
    if measured.missing:
        return Judgement(check=measured.check, verdict=Verdict.INCONCLUSIVE, sentence=measured.missing)
    if at_least and (measured.count is None or measured.count < at_least):
        had = "no count" if measured.count is None else str(measured.count)
        sentence = f"too little data: {had} of at least {at_least}"
        return Judgement(check=measured.check, verdict=Verdict.INCONCLUSIVE, sentence=sentence)
    return None


def judge(
    threshold: Threshold, measured: Measurement, baseline: Measurement | None, *, at_least: int = 0, surely: bool = False
) -> Judgement:
    """Judge one measurement by one expectation: pass where it holds, fail where it does not.

    Args:
        threshold: what is expected.
        measured: the answer now.
        baseline: the answer before the first change, where there is one.
        at_least: how much data the answer must rest on.
        surely: whether it only counts as met where chance and a slow machine do not explain it.
    """
    if unusable := _unusable(measured, at_least):
        return unusable
    if threshold.unchanged:
        return _judge_unchanged(measured, baseline)
    value = number(measured.numbers.get(threshold.metric))
    if value is None:
        found = measured.numbers.get(threshold.metric, "nothing")
        sentence = f"no finite number for {threshold.metric}: {found}"
        return Judgement(check=measured.check, verdict=Verdict.INCONCLUSIVE, sentence=sentence)
    usable = baseline if baseline and "cut" not in baseline.facts else None
    before = _before(threshold, measured, usable, surely=surely)
    line = threshold.line(before)
    if line is None:
        why = "the baseline is zero" if before == 0 else "there is no baseline"
        sentence = f"{threshold.metric} {say(value)}, but {why} to compare with"
        return Judgement(check=measured.check, verdict=Verdict.INCONCLUSIVE, sentence=sentence)
    met = threshold.holds(value, line)
    if "cut" in measured.facts and (met if threshold.op[0] in "<=" else not met):
        sentence = f"{measured.facts['cut']}, so {threshold.metric} is at least {say(value)}; that decides nothing"
        return Judgement(check=measured.check, verdict=Verdict.INCONCLUSIVE, sentence=sentence)
    label = "" if threshold.metric == "value" else f"{threshold.metric} "
    # where rounding would hide the difference, every digit is said
    notes = (say(value), say(line)) if say(value) != say(line) or value == line else (f"{value:f}", f"{line:f}")
    unit = unit_of(threshold, measured)
    sentence = f"{label}{notes[0]}{unit} {'is' if met else 'is not'} {threshold.op} {notes[1]}{unit}"
    if threshold.needs_baseline and before is not None:
        sentence += f" (baseline {say(before)}{unit})"
    if met and surely and usable is not None and (doubt := _doubt(threshold, measured, usable)):
        if doubt.verdict is Verdict.INCONCLUSIVE:
            return doubt
        met, sentence = False, f"{sentence}, {doubt.sentence}"
    if measured.notes and not met:
        sentence += f": {'; '.join(measured.notes[:_FEW])}"
    return Judgement(check=measured.check, verdict=Verdict.PASS if met else Verdict.FAIL, sentence=sentence)


def unit_of(threshold: Threshold, measured: Measurement) -> str:
    """Return the unit of the numbers of a sentence, with a blank before it: what was made of calls is in milliseconds."""
    numbers = measured.numbers
    # the value of a latency is its p95; that of a service's answer is whatever it says
    in_ms = threshold.metric in TIMES or (threshold.metric == "value" and numbers.get("value") == numbers.get("p95"))
    return " ms" if measured.samples and in_ms else ""


def _before(threshold: Threshold, measured: Measurement, baseline: Measurement | None, *, surely: bool) -> Decimal | None:
    """Return what the line is drawn by; where it was measured in a slow moment of the machine, at the pace of now."""
    if baseline is None:
        return None
    before = number(baseline.numbers.get(threshold.metric))
    if before is None or not surely or not _by_calls(threshold, measured, baseline):
        return before
    return before * Decimal(str(round(min(1.0, _usable_pace(measured, baseline)), 4)))


def _usable_pace(measured: Measurement, baseline: Measurement) -> float:
    """Return how many times as long as at the baseline the machine takes for the same work, as far as that moves the line.

    A machine that has become faster, as one whose caches were cold, excuses nothing, and is no reason to say nothing; the line
    moves down with it, as far as it would move up.
    """
    return max(1 / TOO_FAR, pace(measured.yardstick, baseline.yardstick))


def _by_calls(threshold: Threshold, measured: Measurement, baseline: Measurement) -> bool:
    """Say whether both sides of a line that is drawn by the baseline are percentiles of calls that were seen."""
    both = bool(measured.samples and baseline.samples)
    return both and threshold.needs_baseline and threshold.op[0] == ">" and percentile_of(threshold.metric) is not None


def _doubt(threshold: Threshold, measured: Measurement, baseline: Measurement) -> Judgement | None:
    """Say why a line that is crossed may not really be, where both sides are made of calls that were seen."""
    percent = percentile_of(threshold.metric)
    if percent is None or not _by_calls(threshold, measured, baseline):
        return None
    slow = _usable_pace(measured, baseline)
    notes = f"the machine takes {slow:.1f} times as long as at the baseline" if abs(slow - 1) >= _PACE_TOLD else ""
    low, high = bounds(measured.samples, percent).low, bounds(baseline.samples, percent).high
    if slow > TOO_FAR:
        # the slower it is, the less a comparison with its pace means; only what is far beyond even that is the change's
        line = threshold.line(Decimal(str(high or 0)) * Decimal(str(round(slow * slow / TOO_FAR, 4))))
        if low is not None and high is not None and line is not None and threshold.holds(Decimal(str(low)), line):
            return None
        sentence = f"{notes} for the same work, which says nothing about the change; a query that takes longer says more"
        return Judgement(check=measured.check, verdict=Verdict.INCONCLUSIVE, sentence=sentence)
    if low is None or high is None:
        few = f"but {len(measured.samples)} calls, compared with {len(baseline.samples)}, are too few to be sure"
        return Judgement(check=measured.check, verdict=Verdict.FAIL, sentence=few)
    line = threshold.line(Decimal(str(high)) * Decimal(str(round(slow, 4))))
    if line is not None and threshold.holds(Decimal(str(low)), line):
        return None
    said = f"but only {low:.3g} ms is certain, and the limit is {float(line or 0):.3g} ms" + (f"; {notes}" if notes else "")
    return Judgement(check=measured.check, verdict=Verdict.FAIL, sentence=said)


def _judge_unchanged(measured: Measurement, baseline: Measurement | None) -> Judgement:
    if baseline is None or baseline.error or baseline.missing:
        sentence = "there is no baseline to compare with"
        return Judgement(check=measured.check, verdict=Verdict.INCONCLUSIVE, sentence=sentence)
    names = sorted({*baseline.facts, *measured.facts})
    changed = [
        f"{name} was {baseline.facts.get(name, 'absent')} and is {measured.facts.get(name, 'absent')}"
        for name in names
        if baseline.facts.get(name) != measured.facts.get(name)
    ]
    before, now = number(baseline.numbers.get("value")), number(measured.numbers.get("value"))
    if not names and (before is None or now is None):
        sentence = f"no finite numbers to compare: {baseline.numbers.get('value')} and {measured.numbers.get('value')}"
        return Judgement(check=measured.check, verdict=Verdict.INCONCLUSIVE, sentence=sentence)
    if before != now and not names:
        changed = [f"was {baseline.numbers.get('value')} and is {measured.numbers.get('value')}"]
    if changed:
        return Judgement(check=measured.check, verdict=Verdict.FAIL, sentence="changed: " + "; ".join(changed))
    what = f"{len(names)} unchanged" if names else f"unchanged at {measured.numbers.get('value')}"
    return Judgement(check=measured.check, verdict=Verdict.PASS, sentence=what)


def _measured(measured: Measurement) -> Judgement:
    """Judge a measurement that nothing is expected of but to be there."""
    if measured.facts or any(number(text) is not None for text in measured.numbers.values()):
        return Judgement(check=measured.check, verdict=Verdict.PASS, sentence="measured")
    return Judgement(check=measured.check, verdict=Verdict.INCONCLUSIVE, sentence="no finite number")


def judge_all(
    expectations: Sequence[Threshold],
    breach: Threshold | None,
    measured: Measurement,
    baseline: Measurement | None,
    *,
    at_least: int = 0,
) -> Judgement:
    """Judge a measurement by all it is expected to meet.

    Where it misses an expectation but stays short of the line that rolls back, it is amber:
    neither success nor a reason to roll back.
    """
    judged = [_expected(threshold, measured, baseline, at_least) for threshold in expectations]
    verdict = worst(j.verdict for j in judged)
    if not judged:
        return _unusable(measured, at_least) or _measured(measured)
    if verdict is Verdict.FAIL and breach is not None:
        tripping = judge(breach, measured, baseline, at_least=at_least, surely=True)
        if tripping.verdict is Verdict.FAIL:
            verdict = Verdict.AMBER
    notes = [j.sentence for j in judged if j.verdict is not Verdict.PASS] or [j.sentence for j in judged]
    return Judgement(check=measured.check, verdict=verdict, sentence="; ".join(dict.fromkeys(notes)))


def _expected(threshold: Threshold, measured: Measurement, baseline: Measurement | None, at_least: int) -> Judgement:
    """Judge by one expectation; a latency that only seems to miss it, by chance or on a slow machine, is amber."""
    found = judge(threshold, measured, baseline, at_least=at_least)
    if found.verdict is Verdict.FAIL and baseline is not None and threshold.op in _MISSED:
        missed = replace(threshold, op=_MISSED[threshold.op])
        doubtful = judge(missed, measured, baseline, at_least=at_least, surely=True)
        if doubtful.verdict is not Verdict.PASS:
            return found.model_copy(update={"verdict": Verdict.AMBER, "sentence": f"{found.sentence} ({doubtful.sentence})"})
    return found


def trips(threshold: Threshold, breaches: Sequence[bool]) -> bool:
    """Say whether the newest n samples hold at least k breaches; one bad sample is not a trip unless k is 1."""
    return sum(breaches[-threshold.n :]) >= threshold.k
