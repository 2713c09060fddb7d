"""The rules of the way back: what a rehearsal lets begin, the last safe start, which way is taken, what to type next."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from plans import START, AStep, World, phase, plan, script, sql, task

from gonogo.core.engine import Record, Restore, Switch, Undo, Weigh
from gonogo.core.event import Kind
from gonogo.core.evolve import first_way
from gonogo.core.plan import Plan
from gonogo.core.rehearsal import last_safe_start, shortcomings, summary, too_late, unready, verdict
from gonogo.core.state import State, Status, goes_further
from gonogo.core.way_back import Backup, Rehearsal, Rollback
from gonogo.core.way_back import Switch as OwnScripts
from gonogo.core.ways import ways

HOUR = timedelta(hours=1)
OWN = OwnScripts(sql=("s.sql",), prove=("c",))
EVERY_WAY = Rollback(levels=("feature", "undo", "data", "restore"), feature=OWN, data=OWN)


def evidence(**more: Any) -> dict[str, Any]:
    return {
        "at": START.isoformat(),
        "on": "a copy",
        "forward": {"outcome": "done", "why": "", "took": 1},
        "levels": [{"level": "undo", "verdict": "restores exactly", "took": 60, "differences": []}],
        "steps": [{"step": "task-0.1", "verdict": "restores exactly"}],
        "seal": "s",
        "tasks": {},
        "each_step": False,
        **more,
    }


def rehearsed(**more: Any) -> State:
    return State(rehearsed=summary(evidence(**more)))


def one_step(**more: Any) -> Plan:
    return plan(phase(task(sql())), **more)


@pytest.mark.parametrize(
    ("differing", "misplaced", "said"),
    [
        ([], [], "restores exactly"),
        ([], ["columns"], "restores but for column order"),
        (["table a is new"], [], "does not restore"),
        (["table a is new"], ["columns"], "does not restore"),
    ],
)
def test_a_way_back_is_judged_by_what_differs(differing: list[str], misplaced: list[str], said: str) -> None:
    assert verdict(differing, misplaced) == said


@pytest.mark.parametrize(("age", "ready"), [(HOUR, True), (24 * HOUR, True), (24 * HOUR + timedelta(seconds=1), False)])
def test_a_rehearsal_counts_for_as_long_as_the_runbook_says(age: timedelta, ready: bool) -> None:
    made = one_step(rehearsal=Rehearsal(fresh_for=24 * HOUR))
    why = unready(made, rehearsed(), START + age)
    assert (why == "") is ready
    assert ready or "old, and 1d is the most" in why


def test_without_one_the_command_that_makes_one_is_named() -> None:
    made = one_step(rehearsal=Rehearsal())
    assert "gonogo rehearse example --target demo" in unready(made, State(rehearsed={"why": "there is none"}), START)


def test_where_it_is_waived_nothing_is_asked_for() -> None:
    assert unready(one_step(rehearsal=Rehearsal(waived="small")), State(), START) == ""


@pytest.mark.parametrize(("before_end", "late"), [(46, False), (45, False), (44, True)])
def test_the_last_safe_start_is_the_end_of_the_window_less_the_way_back(before_end: int, late: bool) -> None:
    made = one_step(rollback=Rollback(takes=timedelta(minutes=45)), end_by=START + 4 * HOUR)
    now = START + 4 * HOUR - timedelta(minutes=before_end)
    assert last_safe_start(made, State()) == START + 4 * HOUR - timedelta(minutes=45)
    assert bool(too_late(made, State(), now)) is late


def test_the_longer_of_what_was_planned_and_what_was_rehearsed_counts() -> None:
    made = one_step(rollback=Rollback(takes=timedelta(seconds=30)), end_by=START + HOUR)
    assert last_safe_start(made, rehearsed()) == START + HOUR - timedelta(seconds=60)
    assert last_safe_start(one_step(end_by=START + HOUR), State()) is None, "nobody said how long it takes"


BROKEN = {"level": "undo", "verdict": "does not restore", "took": 1, "differences": ["table a is new"]}
RESTORED = {"level": "restore", "verdict": "restores exactly", "took": 5, "differences": []}


@pytest.mark.parametrize(
    ("found", "ways_back", "said"),
    [
        ({}, ("undo",), ""),
        ({"forward": {"outcome": "rolled back", "why": "b failed"}}, ("undo",), "it did not go forward: b failed"),
        ({"levels": [BROKEN]}, ("undo",), "no way back restored what was there (undo does not restore)"),
        ({"levels": [RESTORED, BROKEN]}, ("restore", "undo"), "the way back by undo does not restore; table a is new"),
        ({}, ("undo", "restore"), "the way back by restore was not rehearsed"),
    ],
)
def test_a_rehearsal_that_does_not_stand_says_why(found: dict[str, Any], ways_back: tuple[Any, ...], said: str) -> None:
    assert shortcomings(one_step(rollback=Rollback(levels=ways_back)), evidence(**found)) == said


def test_where_each_step_is_asked_for_each_step_must_be_proved() -> None:
    made = one_step(rehearsal=Rehearsal(each_step=True))
    assert "did not prove each step" in shortcomings(made, evidence())
    assert shortcomings(made, evidence(each_step=True)) == ""
    bad = [{"step": "task-0.1", "verdict": "fails"}]
    assert shortcomings(made, evidence(each_step=True, steps=bad)) == "the undo of task-0.1 fails"


def test_a_trip_takes_the_first_way_that_the_rehearsal_proved_and_a_restore_only_of_a_backup_that_was() -> None:
    levels = ("restore", "undo")
    assert first_way(State(levels=levels)) == "undo"
    assert first_way(State(levels=levels, backup={"folder": "b"})) == "restore"
    assert first_way(State(levels=levels, backup={"folder": "b"}, rehearsed={"levels": {"undo": {}}})) == "undo"
    assert first_way(State(levels=("restore",))) == "undo", "what can be undone is"


@pytest.mark.parametrize(
    ("status", "level", "failed", "to", "may"),
    [
        (Status.ROLLING_BACK, "undo", True, "restore", True),
        (Status.ROLLING_BACK, "undo", False, "restore", False),
        (Status.ROLLING_BACK, "undo", True, "data", False),
        (Status.ROLLED_BACK, "feature", False, "undo", True),
        (Status.ROLLED_BACK, "feature", False, "data", True),
        (Status.ROLLED_BACK, "undo", False, "restore", False),
        (Status.PROVING, "undo", True, "restore", True),
    ],
)
def test_a_run_goes_further_back_only_where_that_leads_somewhere(
    status: Status, level: str, failed: bool, to: str, may: bool
) -> None:
    state = State(
        status=status, level=level, levels=EVERY_WAY.levels, rollback_failed=failed, backup={"folder": "b"}, changed=True
    )
    assert goes_further(state, to) is may


def done(made: Plan) -> World:
    world = World(plan=made)
    world.launch()
    world.go_on()
    assert world.state.status is Status.DONE
    return world


def test_each_way_is_what_its_level_says() -> None:
    made = one_step(rollback=EVERY_WAY, backup=Backup())
    expected = {"feature": Switch("feature", 0), "undo": Undo(0, 0, True, False), "data": Switch("data", 0), "restore": Weigh(1)}
    for level, command in expected.items():
        world = done(made)
        world.take_another_way(level)
        assert world.decide() == command
    world.tell(Kind.WEIGHED, step=1, rows={"t": 0}, how="estimated")
    assert world.decide() == Restore()


def test_what_an_undo_would_destroy_is_counted_once_and_accepted_by_a_person() -> None:
    made = plan(phase(task(AStep(scripts=(script(),), undo=(script(),), destroys=("t",)))))
    world = done(made)
    world.take_another_way("undo")
    assert world.decide() == Weigh(0)
    world.tell(Kind.WEIGHED, step=0, rows={"t": 3}, how="estimated")
    assert world.decide() == Weigh(0), "rows that would be destroyed are counted again until somebody accepts it"
    world.tell(Kind.RESUME, "ben", accept_loss=True)
    world.tell(Kind.WEIGHED, step=0, rows={"t": 3}, how="estimated")
    assert world.decide() == Undo(0, 0, True, False)


def test_scripts_of_a_level_run_in_their_order_and_once() -> None:
    world = done(one_step(rollback=EVERY_WAY, backup=Backup()))
    world.take_another_way("data")
    world.tell(Kind.SWITCHED, level="data", script=0)
    assert world.decide() == Switch("data", 1)
    world.tell(Kind.SWITCHED, level="data", script=1)
    assert world.decide() == Record(Kind.ALL_UNDONE)


def test_after_a_restore_nothing_is_left_to_undo() -> None:
    world = done(one_step(rollback=EVERY_WAY, backup=Backup()))
    world.take_another_way("restore")
    world.tell(Kind.WEIGHED, step=1, rows={"t": 0}, how="estimated")
    world.tell(Kind.RESTORED, how="side by side")
    assert (world.state.status, world.state.step) == (Status.PROVING, 0)


def test_a_rollback_that_failed_names_the_next_safe_commands() -> None:
    made = one_step(rollback=Rollback(levels=("undo", "restore")), backup=Backup())
    world = done(made)
    world.take_another_way("undo")
    world.tell(Kind.UNDO_FAILED, step=0, why="no")
    told = [way.command for way in ways(made, world.state, carried=False)]
    assert told == [
        "gonogo rollback example --target demo --continue",
        "gonogo resume example --target demo --settle done",
        "gonogo rollback example --target demo --level restore",
    ]
