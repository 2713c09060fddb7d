"""What is drawn of a run: one scale of time, facts where they are, and colours that can be read."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.plans import START, backfill, phase, plan, sql, task
from support.world import World

from gonogo.core.engine.events import BaselineMeasured, Event, Kind, Sampled, SampledCheck
from gonogo.core.engine.state import Status
from gonogo.core.engine.verdict import Measurement
from gonogo.core.model.check import Check
from gonogo.core.plan.plan import Plan
from gonogo.report import report
from gonogo.report.charts import Lane, Timeline, drawing
from gonogo.report.watch_charts import sparkline

MINUTE = timedelta(minutes=1)
STYLE = (Path(report.__file__).parent / "report_templates" / "style.css").read_text(encoding="utf-8")


def two_phases() -> Plan:
    first = phase(task(sql(), takes=10 * MINUTE, owner="lead"), task(backfill(), takes=20 * MINUTE), soak=10 * MINUTE)
    return plan(first, phase(task(sql(), takes=5 * MINUTE)))


def at_work(made: Plan) -> World:
    """A run ten minutes after its go, in the middle of its first task."""
    world = World(plan=made, now=START)
    world.launch()
    world.go_on(until=lambda state: state.status is Status.WORKING)
    world.now += 10 * MINUTE
    return world


def two_events_on(world: World) -> None:
    seen = world.state.seq
    world.go_on(until=lambda state: state.seq > seen + 1)


def lane(chart: Timeline, name: str) -> Lane:
    return next(lane for lane in chart.lanes if lane.name == name)


# the timeline


def test_before_its_launch_the_first_phase_is_drawn_as_planned() -> None:
    (chart,) = drawing(two_phases(), []).timelines()
    assert [lane.name for lane in chart.lanes] == ["Task 0", "Task 1"]
    assert all(lane.planned for lane in chart.lanes)
    assert not chart.marks


def test_planned_and_actual_share_one_scale() -> None:
    world = at_work(two_phases())
    world.now += 5 * MINUTE
    world.go_on(until=lambda state: state.status is Status.SOAKING)
    (chart,) = drawing(world.plan, world.events).timelines()
    first = lane(chart, "Task 0")
    assert first.planned is not None
    assert first.planned.left == 0
    # it was done fifteen minutes after the start, of the forty that the phase was planned to take
    assert first.actual[0].left == pytest.approx(15 / 40 * 100, abs=1)
    assert first.planned.width == pytest.approx(10 / 40 * 100, abs=1)


def test_what_happened_is_not_a_dot_beside_a_plan_of_hours() -> None:
    world = World(plan=two_phases(), now=START)
    world.launch()
    world.go_on()
    (chart, *_) = drawing(world.plan, world.events).timelines()
    assert not chart.planned_apart, "the soak alone took ten minutes"
    quick = World(plan=plan(phase(task(sql(), takes=120 * MINUTE))), now=START)
    quick.launch()
    quick.go_on()
    (chart,) = drawing(quick.plan, quick.events).timelines()
    assert chart.planned_apart == "18:53:00 to 20:53:00 CEST"
    assert all(lane.planned is None for lane in chart.lanes)


def test_a_live_timeline_has_a_now_and_what_is_expected_behind_it() -> None:
    world = at_work(two_phases())
    (chart,) = drawing(world.plan, world.events).timelines(world.now)
    (now,) = [mark for mark in chart.marks if mark.kind == "now"]
    waits = lane(chart, "Task 1").actual
    assert [bar.kind for bar in waits] == ["expected"]
    assert waits[0].left >= now.left
    assert not [mark for mark in drawing(world.plan, world.events).timelines()[0].marks if mark.kind == "now"], (
        "a report has no now"
    )


def test_a_trip_and_its_rollback_are_on_the_scale() -> None:
    world = at_work(two_phases())
    world.go_on(until=lambda state: state.status is Status.SOAKING)
    world.now += 4 * MINUTE
    world.tell(Kind.TRIPPED, "watch", why="c: 5 is > 3", check="c")
    world.now += MINUTE
    world.go_on()
    (chart,) = drawing(world.plan, world.events).timelines()
    (trip,) = [mark for mark in chart.marks if mark.kind == "trip"]
    back = lane(chart, "Rollback").actual[0]
    assert trip.left == pytest.approx(back.left, abs=0.5)
    assert lane(chart, "Task 0").state == "undone"
    assert lane(chart, "Verify and watch").actual[0].left < back.left


def test_each_launched_phase_has_a_timeline_of_its_own() -> None:
    world = World(plan=two_phases(), now=START)
    world.launch()
    world.go_on()
    world.now += timedelta(days=21)
    world.launch()
    world.go_on()
    charts = drawing(world.plan, world.events).timelines()
    assert [chart.phase for chart in charts] == ["phase-0", "phase-1"]
    assert charts[1].planned_apart, "it was planned three weeks before"


@given(st.lists(st.sampled_from(["on", "hold", "resume", "trip", "later", "abort"]), max_size=12))
def test_whatever_happens_everything_drawn_is_inside_the_picture(story: list[str]) -> None:
    world = at_work(two_phases())
    for word in story:
        if word == "later":
            world.now += 7 * MINUTE
        elif word == "on":
            two_events_on(world)
        else:
            kinds = {"hold": Kind.HOLD, "resume": Kind.RESUME, "trip": Kind.TRIPPED, "abort": Kind.ABORT}
            world.tell(kinds[word], "ben", why="hm")
    for now in (None, world.now):
        for chart in drawing(world.plan, world.events).timelines(now):
            bars = [bar for lane in chart.lanes for bar in (*lane.actual, *([lane.planned] if lane.planned else []))]
            assert all(0 <= bar.left <= 100 and bar.left + bar.width <= 100.5 for bar in bars)
            assert all(0 <= mark.left <= 100 for mark in chart.marks)
            assert all(0 <= left <= 100 for left, _ in chart.ticks)
            assert len(chart.ticks) <= 8
    assert report.as_html(report.report(world.plan, world.events, "run"))
    assert report.as_markdown(report.report(world.plan, world.events, "run"))


# the watch


def watched(values: list[str], rule: str = "p50 > baseline + 50% in 2 of 3", metric: str = "p50") -> tuple[World, list[Any]]:
    check = Check.model_validate({"time": "q.sql", "roll_back_if": rule})
    made = plan(phase(task(sql())), checks={"slow": check})
    world = World(plan=made, now=START)
    world.launch()
    world.go_on(until=lambda state: state.status is Status.WORKING)
    baseline = BaselineMeasured(measurements={"slow": Measurement(check="slow", numbers={"p50": "2", "value": "3"})})
    events: list[Event] = [
        Event(seq=one.seq, at=one.at, began=one.began, body=baseline) if one.kind is Kind.BASELINE else one
        for one in world.events
    ]
    for number, value in enumerate(values, len(events) + 1):
        at = START + timedelta(seconds=5 * number)
        sample = SampledCheck(value=value, metric=metric, verdict="breach" if value > "3" else "fail", says=value)
        events.append(Event(seq=number, at=at, began=at, body=Sampled(phase="phase-0", samples={"slow": sample})))
    return world, events


def test_a_watched_check_is_drawn_with_its_limit_and_what_was_before() -> None:
    world, events = watched(["2", "2.5", "4", "5"])
    (chart,) = drawing(world.plan, events).watch_charts()
    assert (chart.limit_says, chart.baseline_says, chart.highest) == ("3 ms", "2 ms", "5 ms")
    assert chart.metric == "p50, ms"
    assert chart.limit is not None
    assert chart.baseline is not None
    assert chart.baseline < chart.limit < 100
    assert len(chart.breaches) == 2
    assert all(y > chart.limit for _, y in chart.breaches)
    assert chart.path.startswith("M0 ")


def test_a_gap_in_the_samples_is_a_gap_in_the_line() -> None:
    world, events = watched(["2", "NaN", "2"])
    (chart,) = drawing(world.plan, events).watch_charts()
    assert chart.path.count("M") == 2


def test_of_an_older_ledger_that_does_not_say_which_number_it_kept_no_limit_is_drawn() -> None:
    world, events = watched(["2", "4"], metric="")
    (chart,) = drawing(world.plan, events).watch_charts()
    assert (chart.limit, chart.baseline) == (None, None)


def test_of_a_long_series_no_breach_is_left_out() -> None:
    values = ["1"] * 3000
    values[1234] = values[2999] = "9"
    world, events = watched(values)
    (chart,) = drawing(world.plan, events).watch_charts()
    assert len(chart.breaches) == 2
    assert chart.path.count("L") < 400


@given(st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9)), max_size=300))
def test_a_line_of_text_shows_a_series_in_forty_characters_at_most(values: list[float | None]) -> None:
    drawn = sparkline(values)
    assert len(drawn) == min(len(values), len(drawn)) <= 40
    assert set(drawn) <= set("▁▂▃▄▅▆▇█·")


# its colours


def _luminance(colour: str) -> float:
    digits = colour.removeprefix("#")
    whole = digits if len(digits) == 6 else "".join(each * 2 for each in digits)
    parts = [int(whole[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, by WCAG 2.2 (relative luminance)."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_colour_of_a_text_can_be_read_in_both_themes(theme: str) -> None:
    light, dark = (dict(re.findall(r"--(\w+): (#\w+)", part)) for part in STYLE.split("prefers-color-scheme: dark", 1))
    colours = light if theme == "light" else light | dark
    for ground in ("page", "card"):
        for text in ("text", "quiet", "pass", "fail", "amber", "back"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        for drawn in ("plan", "done", "gate", "soak", "back", "fail"):
            assert contrast(colours[drawn], colours[ground]) >= 3, (drawn, ground)
