from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.plans import START, backfill, check, phase, plan, sql, task
from support.prepared import prepare
from support.world import World

from gonogo import project
from gonogo.core.engine.events import Kind, RehearsalFound
from gonogo.core.engine.forecast import actual_times, expected_end, forecast, fraction
from gonogo.core.engine.state import Known, State, Status
from gonogo.core.model.duration import parse_duration, parse_offset, say_duration, write_duration
from gonogo.core.model.schedule import Schedule, local_time
from gonogo.core.plan.plan import Plan
from gonogo.planning.load import check_runbook, load_runbook
from gonogo.planning.planner import end_of, on_clock
from gonogo.project import Project

MINUTE = timedelta(minutes=1)
ROME = "Europe/Rome"


# durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("15m", 900),
        ("2h", 7200),
        ("3d", 259200),
        ("1w", 604800),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("1.5h", 5400),
        ("0s", 0),
        ("1d2h3m4s5ms", 93784.005),
    ],
)
def test_a_duration_is_numbers_with_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        *["", " ", "15", 15, 1.5, True, None, [], "m", "15 minutes", "15min", "-15m", "+15m", "15m-1s", "1,5h", "1e3s"],
        *["15M", "h1", "1h30", ".5h", "5.h", "15m\n", "T+15m", "PT15M", "00:15", "٣m"],
    ],
)
def test_a_number_without_a_unit_is_not_a_duration(text: object) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["9999999999d", "99999999999999999w", "9" * 400 + "s"])
def test_a_duration_beyond_all_measure_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="longer than any migration"):
        parse_duration(text)


def test_an_offset_is_written_with_t_plus() -> None:
    assert parse_offset("T+1h30m") == timedelta(minutes=90)
    assert parse_offset("T+0m") == timedelta(0)


@pytest.mark.parametrize("text", ["15m", "+15m", "t+15m", "T-15m", "T+", "T+15", "T15m", 15, None, ["T+15m"]])
def test_anything_else_is_not_an_offset(text: object) -> None:
    with pytest.raises(ValueError, match=r"not an offset|not a duration"):
        parse_offset(text)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0ms"),
        (0.18, "180ms"),
        (1, "1s"),
        (4.2, "4.2s"),
        (59, "59s"),
        (60, "1m"),
        (750, "12m 30s"),
        (3600, "1h"),
        (3900, "1h 05m"),
        (86400, "1d"),
        (90000, "1d 01h"),
        (-90, "-1m 30s"),
    ],
)
def test_a_duration_is_said_with_the_units_that_matter(seconds: float, said: str) -> None:
    assert say_duration(seconds) == said
    assert say_duration(timedelta(seconds=seconds)) == said


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=3650)))
def test_a_written_duration_reads_the_same_again(value: timedelta) -> None:
    assert parse_duration(write_duration(value)) == value


def test_a_plan_with_a_soak_of_weeks_reads_the_same_again_from_the_ledger() -> None:
    made = plan(
        phase(task(sql(), at=timedelta(days=14, seconds=1), takes=timedelta(days=20, milliseconds=1)), soak=timedelta(weeks=3))
    )
    assert Plan.model_validate_json(made.model_dump_json()) == made


# clock times


def test_a_local_time_means_its_zone() -> None:
    assert local_time("2025-10-12T18:53", ROME).isoformat() == "2025-10-12T18:53:00+02:00"
    assert local_time("2025-12-12T18:53", ROME).isoformat() == "2025-12-12T18:53:00+01:00"
    assert local_time("2025-10-12 18:53:30", "UTC") == datetime(2025, 10, 12, 18, 53, 30, tzinfo=UTC)


def test_a_time_with_an_offset_is_that_moment_in_the_zone() -> None:
    assert local_time("2025-10-12T16:53Z", ROME).isoformat() == "2025-10-12T18:53:00+02:00"
    assert local_time("2025-10-12T09:53-07:00", ROME).isoformat() == "2025-10-12T18:53:00+02:00"


def test_a_time_that_the_clocks_skip_does_not_exist() -> None:
    with pytest.raises(ValueError, match="2025-03-30T02:30 does not exist in Europe/Rome: the clocks go forward"):
        local_time("2025-03-30T02:30", ROME)
    assert local_time("2025-03-30T01:59", ROME).utcoffset() == timedelta(hours=1)
    assert local_time("2025-03-30T03:00", ROME).utcoffset() == timedelta(hours=2)


def test_a_time_that_the_clocks_repeat_needs_its_offset() -> None:
    with pytest.raises(ValueError, match=r"2025-10-26T02:30 exists twice in Europe/Rome.*2025-10-26T02:30\+02:00"):
        local_time("2025-10-26T02:30", ROME)
    first = local_time("2025-10-26T02:30+02:00", ROME)
    second = local_time("2025-10-26T02:30+01:00", ROME)
    assert first.astimezone(UTC) == datetime(2025, 10, 26, 0, 30, tzinfo=UTC)
    assert second.astimezone(UTC) - first.astimezone(UTC) == timedelta(hours=1)
    assert local_time("2025-10-26T01:59", ROME).utcoffset() == timedelta(hours=2)
    assert local_time("2025-10-26T03:00", ROME).utcoffset() == timedelta(hours=1)


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "18:53", "2025-13-01T00:00", "2025-02-30T00:00", "12/10/2025", "0001-01-01T00:00+05:00"]
)
def test_what_is_not_a_date_and_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a date and time"):
        local_time(text, ROME)


@pytest.mark.parametrize("zone", ["Europe/Roma", "CEST+2", "", "../etc/passwd", "Europe", "/usr/share", "a" * 300, "a\0b", "é"])
def test_a_zone_is_one_that_there_is(zone: str) -> None:
    with pytest.raises(ValueError, match="is not a time zone"):
        Schedule(zone=zone)


@pytest.mark.parametrize(
    ("end_by", "begins", "ends"),
    [
        ("23:00", "2025-10-12T18:53", "2025-10-12T23:00:00+02:00"),
        ("02:00", "2025-10-12T18:53", "2025-10-13T02:00:00+02:00"),
        ("18:53", "2025-10-12T18:53", "2025-10-13T18:53:00+02:00"),
        ("2025-10-14T02:00", "2025-10-12T18:53", "2025-10-14T02:00:00+02:00"),
    ],
)
def test_a_run_must_end_by_the_next_such_time_after_its_start(end_by: str, begins: str, ends: str) -> None:
    found = end_of(Schedule(zone=ROME, end_by=end_by), local_time(begins, ROME))
    assert found is not None
    assert found.isoformat() == ends


def test_a_run_without_an_end_must_not_end_by_any_time() -> None:
    assert end_of(Schedule(), START) is None


def test_moments_on_the_clock_keep_their_offset_so_that_differences_are_true() -> None:
    before, after = (on_clock(datetime(2025, 10, 26, hour, 30, tzinfo=UTC), ROME) for hour in (0, 1))
    assert (before.isoformat(), after.isoformat()) == ("2025-10-26T02:30:00+02:00", "2025-10-26T02:30:00+01:00")
    assert after - before == timedelta(hours=1)
    assert after > before


# planned tables


def planned(text: str, folder: Path, start: datetime | None = None) -> Plan:
    templates = folder / "sql_templates"
    templates.mkdir(exist_ok=True)
    (templates / "a.sql").write_text("SELECT 1")
    file = folder / "r.yaml"
    file.write_text(text)
    return prepare(check_runbook(text, str(file)), file, Project(root=folder), start=start).plan


ACROSS = """
runbook: r
targets: {t: {database: embedded}}
schedule: {zone: Europe/Rome, start: "%s"}
phases:
  - phase: p
    soak: 1h
    tasks:
      - {task: one, takes: 90m, steps: [{sql: a.sql, undo: nothing}]}
      - {task: two, at: T+2h, takes: 30m}
"""


@pytest.mark.parametrize(
    ("start", "times"),
    [
        ("2025-10-26T01:00", ["01:00+02:00", "02:30+02:00", "02:00+01:00", "02:30+01:00", "03:30+01:00"]),
        ("2025-03-30T01:00", ["01:00+01:00", "03:30+02:00", "04:00+02:00", "04:30+02:00", "05:30+02:00"]),
        ("2025-10-12T01:00", ["01:00+02:00", "02:30+02:00", "03:00+02:00", "03:30+02:00", "04:30+02:00"]),
    ],
)
def test_planned_times_are_true_when_the_clocks_change(start: str, times: list[str], tmp_path: Path) -> None:
    made = planned(ACROSS % start, tmp_path)
    one, two = made.tasks
    moments = [one.start, one.end, two.start, two.end, made.ends]
    assert [m.isoformat()[11:16] + m.isoformat()[19:] for m in moments] == times
    assert one.end - one.start == timedelta(minutes=90)
    assert two.start - one.start == timedelta(hours=2)
    assert made.takes == timedelta(hours=3, minutes=30)


def test_a_task_does_not_start_before_the_one_before_it_has_ended_and_the_plan_warns(tmp_path: Path) -> None:
    text = ACROSS.replace("T+2h", "T+1h") % "2025-10-12T01:00"
    made = planned(text, tmp_path)
    assert made.tasks[1].start == made.tasks[0].end
    warnings = prepare(check_runbook(text, "r.yaml"), tmp_path / "r.yaml", Project(root=tmp_path)).warnings
    assert any("phases[0].tasks[1].at: the tasks before it end 30 minutes after it is to start" in w for w in warnings)


def test_a_plan_that_ends_after_its_end_by_warns(tmp_path: Path) -> None:
    text = (ACROSS % "2025-10-12T01:00").replace('01:00"}', '01:00", end_by: "04:00"}')
    planned(text, tmp_path)
    warnings = prepare(check_runbook(text, "r.yaml"), tmp_path / "r.yaml", Project(root=tmp_path)).warnings
    assert "schedule.end_by: the tasks end at 04:30, after 04:00" in warnings


def test_a_phase_is_planned_after_the_soak_of_the_one_before(tmp_path: Path) -> None:
    text = ACROSS % "2025-10-12T01:00" + "  - {phase: q, tasks: [{task: three, takes: 5m, at: T+10m}]}\n"
    made = planned(text, tmp_path)
    assert made.phases[1].start == made.phases[0].end == made.tasks[1].end + timedelta(hours=1)
    assert made.tasks[2].start == made.phases[1].start + 10 * MINUTE


def test_tasks_run_as_written_but_none_before_what_it_comes_after(tmp_path: Path) -> None:
    text = """
runbook: r
targets: {t: {database: embedded}}
phases:
  - phase: p
    tasks:
      - {task: a, after: [d]}
      - {task: b}
      - {task: c, after: b}
      - {task: d}
      - {task: e}
"""
    assert [t.name for t in planned(text, tmp_path).tasks] == ["b", "c", "d", "a", "e"]


GUARDIAN = {
    "planning": "18:53-19:08",
    "status": "19:10-19:25",
    "schema": "19:30-20:00",
    "allocate": "20:00-20:30",
    "functions": "20:30-21:00",
    "isolation": "21:00-21:30",
    "performance": "21:30-22:15",
    "audit": "22:15-22:45",
    "wrap-up": "22:45-23:00",
}


def test_the_guardian_runbook_keeps_its_published_timetable() -> None:
    file = project.ROOT / "runbooks" / "guardian-multi-credit.yaml"
    start = local_time("2025-10-12T18:53", ROME)
    made = prepare(load_runbook(file), file, Project(root=project.ROOT), start=start).plan
    assert {t.name: f"{t.start:%H:%M}-{t.end:%H:%M}" for t in made.tasks} == GUARDIAN
    for each in made.tasks:
        assert each.start.utcoffset() == each.end.utcoffset() == timedelta(hours=2)
        assert each.start.date() == start.date()
    assert made.start == start
    assert made.ends == local_time("2025-10-12T23:10", ROME)


def test_the_guardian_runbook_has_the_same_timetable_wherever_its_start_was_written() -> None:
    file = project.ROOT / "runbooks" / "guardian-multi-credit.yaml"
    start = datetime(2025, 10, 12, 9, 53, tzinfo=timezone(timedelta(hours=-7)))
    made = prepare(load_runbook(file), file, Project(root=project.ROOT), start=start).plan
    assert {t.name: f"{t.start:%H:%M}-{t.end:%H:%M}" for t in made.tasks} == GUARDIAN


# how far it is


def walk(world: World) -> list[float]:
    shares = [fraction(world.plan, world.state)]
    for _ in world.plan.phases:
        world.launch()
        shares.append(fraction(world.plan, world.state))
        while (command := world.decide()) is not None:
            world.carry_out(command)
            shares.append(fraction(world.plan, world.state))
    return shares


def test_the_fraction_goes_by_the_tasks_times_where_all_have_one() -> None:
    made = plan(phase(task(sql(), takes=30 * MINUTE), task(sql(), sql(count=3), takes=90 * MINUTE)))
    shares = sorted(set(walk(World(plan=made))))
    assert shares == [0.0, 0.25, 0.25 + 0.75 / 4, 0.25 + 0.75 / 2, 0.25 + 0.75 * 3 / 4, 1.0]


def test_the_fraction_goes_by_steps_where_a_task_has_no_time() -> None:
    made = plan(phase(task(sql(), takes=30 * MINUTE), task(sql(), backfill(), check())))
    assert sorted(set(walk(World(plan=made)))) == [0.0, 0.25, 0.5, 0.75, 1.0]


@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=3), min_size=1, max_size=3))
def test_the_fraction_never_falls_on_the_way_forward_and_ends_at_one(shape: list[list[tuple[int, int]]]) -> None:
    made = plan(*(phase(*(task(*[sql()] * count, takes=takes * MINUTE) for count, takes in tasks)) for tasks in shape))
    world = World(plan=made)
    shares = walk(world)
    assert world.state.status is Status.DONE
    assert all(0.0 <= share <= 1.0 for share in shares)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_task_without_steps_is_not_done_before_its_phase_is_under_way() -> None:
    made = plan(phase(task(sql(), takes=10 * MINUTE)), phase(task(takes=30 * MINUTE), task(sql(), takes=10 * MINUTE)))
    world = World(plan=made)
    world.launch()
    world.go_on()
    assert world.state.status is Status.READY
    assert fraction(made, world.state) == pytest.approx(0.2)
    world.launch()
    assert fraction(made, world.state) == pytest.approx(0.2), "its gate has not said go"
    world.go_on(until=lambda state: state.status is Status.WORKING)
    assert fraction(made, world.state) == pytest.approx(0.8)


def test_the_fraction_goes_down_as_the_run_goes_back() -> None:
    made = plan(phase(task(sql(), sql(), takes=10 * MINUTE)))
    world = World(plan=made)
    walk(world)
    world.tell(Kind.ROLL_BACK, "ben")
    shares = []
    world.once_counted()
    while (command := world.decide()) is not None:
        world.carry_out(command)
        shares.append(fraction(made, world.state))
    assert shares[0] == 0.5
    assert shares[-1] == 0.0


def test_a_run_that_is_rolled_back_has_done_nothing_whatever_had_nothing_to_undo() -> None:
    made = plan(phase(task(takes=10 * MINUTE), task(sql(undo=()), takes=10 * MINUTE), task(sql(), takes=10 * MINUTE)))
    world = World(plan=made)
    walk(world)
    world.tell(Kind.ROLL_BACK, "ben")
    world.go_on()
    assert world.state.status is Status.ROLLED_BACK
    assert fraction(made, world.state) == 0.0


# when it will be


def timetable() -> Plan:
    tasks = (
        task(takes=10 * MINUTE),
        task(sql(), takes=20 * MINUTE),
        task(sql(), sql(), takes=30 * MINUTE, at=40 * MINUTE),
        task(sql(), takes=10 * MINUTE),
    )
    return plan(phase(*tasks, soak=15 * MINUTE))


def test_before_its_launch_a_run_is_expected_as_planned_or_as_late_as_it_is_now() -> None:
    made = timetable()
    rows = forecast(made, State(), START - 5 * MINUTE, {})
    assert [(r.start, r.end) for r in rows] == [(r.planned_start, r.planned_end) for r in rows]
    assert expected_end(made, State(), rows) == made.ends
    late = forecast(made, State(), START + 60 * MINUTE, {})
    assert late[0].start == START + 60 * MINUTE
    assert expected_end(made, State(), late) == START + 145 * MINUTE
    assert {r.state for r in late} == {"next"}


def test_a_task_that_runs_late_moves_the_ones_after_it_and_a_fixed_time_is_kept() -> None:
    made = timetable()
    world = World(plan=made, now=START)
    world.launch()
    world.go_on(until=lambda state: state.status is Status.WORKING)
    began = world.now
    now = began + 25 * MINUTE
    rows = forecast(made, world.state, now, {"task-1": (began, None)})
    assert [r.says for r in rows] == ["not tracked", "overdue by 5m", "next", "next"]
    assert rows[1].end == now, "it is late, so it ends now at the earliest"
    phase_at = world.state.phase_at
    assert phase_at is not None
    assert rows[2].start == phase_at + 40 * MINUTE
    assert rows[3].end == phase_at + 80 * MINUTE
    very_late = forecast(made, world.state, began + 50 * MINUTE, {"task-1": (began, None)})
    assert very_late[2].start == began + 50 * MINUTE
    assert expected_end(made, world.state, very_late) == began + 105 * MINUTE


def test_a_task_that_is_done_shows_when_it_was() -> None:
    made = timetable()
    world = World(plan=made)
    world.launch()
    world.go_on(until=lambda state: state.work.step == 1)
    times = actual_times(made, world.events)
    began, ended = times["task-1"]
    assert ended is not None
    row = forecast(made, world.state, world.now, times)[1]
    assert (row.start, row.end, row.state) == (began, ended, "done")
    assert (row.planned_start, row.planned_end) == (START + 10 * MINUTE, START + 30 * MINUTE)


def test_a_task_that_is_undone_is_shown_so() -> None:
    made = plan(phase(task(sql(), takes=MINUTE), task(sql(), takes=MINUTE)))
    world = World(plan=made)
    walk(world)
    world.tell(Kind.ROLL_BACK, "ben")
    world.go_on(until=lambda state: state.work.step == 1)
    assert [r.state for r in forecast(made, world.state, world.now, actual_times(made, world.events))] == ["done", "undone"]
    world.go_on()
    assert [r.state for r in forecast(made, world.state, world.now, actual_times(made, world.events))] == ["undone", "undone"]


def test_a_task_that_a_rollback_keeps_from_beginning_is_never_shown_as_next() -> None:
    made = plan(phase(task(sql(), takes=MINUTE), task(sql(), sql(), takes=MINUTE), task(sql(), takes=MINUTE)))
    world = World(plan=made)
    world.launch()
    world.go_on(until=lambda state: state.work.step == 2)
    world.tell(Kind.ROLL_BACK, "ben")

    def shown() -> list[tuple[str, bool]]:
        rows = forecast(made, world.state, world.now, actual_times(made, world.events))
        return [(row.state, row.start is not None and row.end is not None) for row in rows]

    assert shown() == [("done", True), ("rolling back", False), ("not begun", False)]
    world.go_on()
    assert shown() == [("undone", True), ("undone", False), ("not begun", False)]


def test_a_task_in_which_a_run_holds_is_held_and_not_under_way() -> None:
    made = plan(phase(task(sql(), sql(), takes=MINUTE), task(sql(), takes=MINUTE)))
    world = World(plan=made)
    world.launch()
    world.go_on(until=lambda state: state.work.step == 1)
    world.tell(Kind.HOLD, "ben")
    assert [row.state for row in forecast(made, world.state, world.now, actual_times(made, world.events))] == ["held", "next"]


def test_a_task_ends_with_its_last_script_and_begins_with_its_first_fact() -> None:
    made = plan(phase(task(sql(alone=True), backfill(), sql(count=2))))
    world = World(plan=made)
    world.launch()
    assert actual_times(made, world.events) == {}
    world.go_on(until=lambda state: state.status is Status.WORKING)
    world.tell(Kind.STARTED, step=0, script=0, last=True)
    began = world.now
    assert actual_times(made, world.events) == {"task-0": (began, None)}
    world.tell(Kind.DONE, step=0, script=0, last=True)
    world.tell(Kind.BATCH, step=1, upto=["1"], rows=1)
    world.tell(Kind.DONE, step=1, script=0, last=True)
    world.tell(Kind.DONE, step=2, script=0, last=False)
    assert actual_times(made, world.events) == {"task-0": (began, None)}
    world.tell(Kind.DONE, step=2, script=1, last=True)
    assert actual_times(made, world.events) == {"task-0": (began, world.now)}


def test_a_later_phase_is_expected_after_the_soak_of_a_late_one() -> None:
    made = plan(phase(task(sql(), takes=10 * MINUTE), soak=60 * MINUTE), phase(task(sql(), takes=10 * MINUTE)))
    now = START + 600 * MINUTE
    rows = forecast(made, State(), now, {})
    assert rows[0].end == now + 10 * MINUTE
    assert rows[1].start == now + 70 * MINUTE


def test_a_later_phase_does_not_count_from_the_start_of_the_one_before() -> None:
    made = plan(phase(task(sql(), takes=10 * MINUTE), soak=60 * MINUTE), phase(task(sql(), takes=10 * MINUTE, at=5 * MINUTE)))
    world = World(plan=made)
    world.launch()
    world.go_on()
    rows = forecast(made, world.state, world.now, actual_times(made, world.events))
    assert rows[1].planned_start == START + 75 * MINUTE
    assert rows[1].start == rows[1].planned_start


def test_a_task_without_steps_has_no_times_as_nothing_recorded_when_it_was() -> None:
    made = timetable()
    world = World(plan=made)
    world.launch()
    world.go_on()
    rows = forecast(made, world.state, world.now, actual_times(made, world.events))
    assert [r.state for r in rows] == ["not tracked", "done", "done", "done"]
    assert (rows[0].start, rows[0].end) == (None, None)
    assert all(r.start and r.end and r.start <= r.end <= world.now for r in rows[1:])


# a backfill, which may be most of the work


def filling(rows: int, *, batch: int = 10, seconds: float = 30.0, of: int = 1000) -> tuple[Plan, World]:
    """Return a run in the middle of a backfill: so many rows are done, at the pace of its newest batch."""
    made = plan(phase(task(sql(), takes=10 * MINUTE), task(backfill(), sql(), takes=20 * MINUTE), task(sql(), takes=MINUTE)))
    world = World(plan=made, now=START)
    world.launch()
    world.go_on(until=lambda state: state.work.step == 1)
    world.tell(Kind.BATCH, step=1, upto=["1"], rows=rows, batch=batch, seconds=seconds, of=of)
    return made, world


def test_the_rows_that_a_backfill_has_done_count() -> None:
    made, world = filling(500)
    assert fraction(made, world.state) == pytest.approx((10 + 20 / 2 * 0.5) / 31)
    world.tell(Kind.BATCH, step=1, upto=["2"], rows=250, batch=11, seconds=33.0, of=1000)
    assert fraction(made, world.state) == pytest.approx((10 + 20 / 2 * 0.75) / 31)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 2000)), max_size=12))
def test_what_a_backfill_has_done_never_becomes_less_and_is_never_all_of_it(batches: list[tuple[int, int]]) -> None:
    made, world = filling(1)
    shares = [fraction(made, world.state)]
    for number, (rows, of) in enumerate(batches):
        world.tell(Kind.BATCH, step=1, upto=[str(number)], rows=rows, batch=number, seconds=1.0, of=of)
        shares.append(fraction(made, world.state))
    # an estimate that grows makes the share of what is done smaller, which is true
    grown = any(of > 1000 for _, of in batches)
    assert grown or shares == sorted(shares)
    assert max(shares) < (10 + 10) / 31
    world.tell(Kind.DONE, step=1, script=0, last=True)
    assert fraction(made, world.state) == pytest.approx((10 + 10) / 31)


def test_a_backfill_whose_table_nobody_has_counted_is_not_said_to_be_done() -> None:
    made, world = filling(500, of=0)
    assert fraction(made, world.state) == pytest.approx(10 / 31)
    assert world.state.work.filled_by is None


def test_a_task_ends_as_its_backfill_goes_on_at_its_pace() -> None:
    made, world = filling(100, batch=10, seconds=100.0)  # 10 rows a second: 900 rows to go
    times = actual_times(made, world.events)
    then = world.state.work.paced_at
    assert then is not None
    row = forecast(made, world.state, then + 40 * MINUTE, times)[1]
    paced = then + timedelta(seconds=90) + 10 * MINUTE
    assert row.end == then + 40 * MINUTE
    assert forecast(made, world.state, then, times)[1].end == paced, "half of its units are still to come"
    assert row.says == "now", "its pace is known: it is late, and nobody waits for news of it"


def test_a_task_of_which_nothing_says_how_long_it_takes_is_overdue() -> None:
    made = plan(phase(task(sql(), takes=10 * MINUTE), task(sql(), takes=MINUTE)))
    world = World(plan=made, now=START)
    world.launch()
    world.go_on(until=lambda state: state.status is Status.WORKING)
    began = world.now
    rows = forecast(made, world.state, began + 13 * MINUTE, {"task-0": (began, None)})
    assert rows[0].says == "overdue by 3m"
    assert rows[0].overdue == 3 * MINUTE
    assert rows[1].says == "next"
    on_time = forecast(made, world.state, began + 9 * MINUTE, {"task-0": (began, None)})
    assert on_time[0].says == "now"
    assert on_time[0].end == began + 10 * MINUTE


def test_a_run_that_is_over_has_facts_only_whenever_one_looks() -> None:
    made = plan(phase(task(sql(), sql(), takes=MINUTE), task(sql(), takes=MINUTE), task(takes=MINUTE)))
    world = World(plan=made)
    world.launch()
    world.go_on(until=lambda state: state.work.step == 1)
    world.tell(Kind.ROLL_BACK, "ben")
    world.go_on()
    assert world.state.status is Status.ROLLED_BACK
    times = actual_times(made, world.events)
    shown = forecast(made, world.state, world.now, times)
    assert shown == forecast(made, world.state, world.now + 500 * MINUTE, times)
    assert [(row.state, row.end) for row in shown] == [("undone", None), ("not begun", None), ("not begun", None)]


def test_a_run_whose_gate_said_no_go_expects_nothing() -> None:
    made = timetable()
    state = State(status=Status.NO_GO)
    assert {(row.start, row.end, row.state) for row in forecast(made, state, START, {})} == {(None, None, "not begun")}


def test_a_task_that_took_longer_in_the_rehearsal_moves_all_that_come_after_it() -> None:
    made = plan(phase(task(sql(), takes=10 * MINUTE), task(sql(), takes=10 * MINUTE)))
    rehearsed = State(known=Known(rehearsed=RehearsalFound(tasks={"task-0": 1500.0, "task-1": 2.0})))

    rows = forecast(made, rehearsed, START, {})

    assert [row.end - row.start for row in rows if row.start and row.end] == [25 * MINUTE, 10 * MINUTE]
    assert expected_end(made, State(), rows) - expected_end(made, State(), forecast(made, State(), START, {})) == 15 * MINUTE
