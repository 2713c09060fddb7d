"""The rules of rolling back: what a rehearsal lets begin, the last safe start, which way is taken, what to type next."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

import pytest
from support.events import body, record
from support.plans import START, phase, plan, sql, task
from support.world import World

from gonogo.cli.backup import is_over
from gonogo.core.engine.commands import CountLoss, RestoreBackup, RunSwitch, RunUndo
from gonogo.core.engine.events import BackupProved, Kind, RehearsalFound, Rehearsed, RehearsedLevel
from gonogo.core.engine.evolve import default_level
from gonogo.core.engine.forecast import fraction
from gonogo.core.engine.rehearsal import last_safe_start, shortcomings, summary, too_late, verdict, why_not_ready
from gonogo.core.engine.state import Known, PlanRules, RollbackState, State, Status, goes_further, outcome
from gonogo.core.model.rollback import Backup, Rehearsal, Rollback, Switch
from gonogo.core.plan.plan import Plan
from gonogo.core.text.next_commands import next_commands

HOUR = timedelta(hours=1)
OWN = Switch(sql=("s.sql",), prove=("c",))
UNDONE = RehearsedLevel(took=60, verdict="restores exactly")
PROVED = body(Kind.BACKED_UP)
assert isinstance(PROVED, BackupProved)
BACKUPS = {0: PROVED}
EVERY_WAY = Rollback(levels=("feature", "undo", "data", "restore"), feature=OWN, data=OWN)


def evidence(**more: Any) -> Rehearsed:
    undo = {"level": "undo", "verdict": "restores exactly", "took": 60}
    plain = {"forward": {"outcome": "done", "took": 1}, "levels": [undo], "each_step": False}
    found = body(Kind.REHEARSED, **{**plain, "steps": [{"step": "task-0.1", "verdict": "restores exactly"}], **more})
    assert isinstance(found, Rehearsed)
    return found


def rehearsed(**more: Any) -> State:
    return State(known=Known(rehearsed=summary(evidence(**more), 1)))


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
    why = why_not_ready(made, rehearsed(), START + age)
    assert (why == "") is ready
    assert ready or "old, and 1d is the most" in why


def test_without_one_the_command_that_makes_one_is_named() -> None:
    made = one_step(rehearsal=Rehearsal())
    assert "gonogo rehearse example --target demo" in why_not_ready(
        made, State(known=Known(rehearsed=RehearsalFound(why="there is none"))), START
    )


def test_where_it_is_waived_nothing_is_asked_for() -> None:
    assert why_not_ready(one_step(rehearsal=Rehearsal(waived="small")), State(), START) == ""


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
    ("found", "levels", "said"),
    [
        ({}, ("undo",), ""),
        ({"forward": {"outcome": "rolled back", "why": "b failed"}}, ("undo",), "it did not go forward: b failed"),
        ({"levels": [BROKEN]}, ("undo",), "no rollback level restored what was there (undo does not restore)"),
        ({"levels": [RESTORED, BROKEN]}, ("restore", "undo"), "the rollback by undo does not restore; table a is new"),
        ({}, ("undo", "restore"), "the rollback by restore was not rehearsed"),
    ],
)
def test_a_rehearsal_that_does_not_stand_says_why(found: dict[str, Any], levels: tuple[Any, ...], said: str) -> None:
    assert shortcomings(one_step(rollback=Rollback(levels=levels)), evidence(**found)) == said


def test_where_each_step_is_asked_for_each_step_must_be_proved() -> None:
    made = one_step(rehearsal=Rehearsal(each_step=True))
    assert "did not prove each step" in shortcomings(made, evidence())
    assert shortcomings(made, evidence(each_step=True)) == ""
    bad = [{"step": "task-0.1", "verdict": "fails"}]
    assert shortcomings(made, evidence(each_step=True, steps=bad)) == "the undo of task-0.1 fails"


def test_a_trip_takes_the_first_way_that_the_rehearsal_proved_and_a_restore_only_of_a_backup_that_was() -> None:
    levels = ("restore", "undo")
    rules = PlanRules(levels=levels)
    proved = State(rules=rules, known=Known(backups=BACKUPS))
    assert default_level(State(rules=rules), 0) == "undo"
    assert default_level(proved, 0) == "restore"
    assert default_level(proved, 1) == "undo", "a backup of before the run is none of before its second phase"
    assert (
        default_level(replace(proved, known=Known(backups=BACKUPS, rehearsed=RehearsalFound(levels={"undo": UNDONE}))), 0)
        == "undo"
    )
    assert default_level(State(rules=PlanRules(levels=("restore",))), 0) == "undo", "what can be undone is"


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
        status=status,
        rules=PlanRules(levels=EVERY_WAY.levels),
        rollback=RollbackState(level=level, failed=failed),
        known=Known(backups=BACKUPS),
        changed=True,
    )
    assert goes_further(state, to) is may


def done(made: Plan) -> World:
    world = World(plan=made)
    for _ in made.phases:
        world.launch()
        world.go_on()
    assert world.state.status is Status.DONE
    return world


def test_each_way_is_what_its_level_says() -> None:
    made = one_step(rollback=EVERY_WAY, backup=Backup())
    expected = {
        "feature": RunSwitch("feature", 0),
        "undo": CountLoss(0),
        "data": RunSwitch("data", 0),
        "restore": CountLoss(1),
    }
    for level, command in expected.items():
        world = done(made)
        world.take_another_way(level)
        assert world.decide() == command
    world.tell(Kind.LOSS_COUNTED, step=1, rows={"t": 0}, how="estimated")
    assert world.decide() == RestoreBackup()


def test_what_an_undo_would_destroy_is_counted_once_and_accepted_by_a_person() -> None:
    made = plan(phase(task(sql())))
    world = done(made)
    world.take_another_way("undo")
    assert world.decide() == CountLoss(0)
    world.tell(Kind.LOSS_COUNTED, step=0, rows={"t": 3}, how="measured", whole=True)
    assert world.decide() == CountLoss(0), "rows that would be destroyed are counted again until somebody accepts it"
    world.tell(Kind.RESUME, "ben", accept_loss=True, why="they are test orders")
    world.tell(Kind.LOSS_COUNTED, step=0, rows={"t": 3}, how="measured", whole=True)
    assert world.decide() == RunUndo(0, 0, True, False)
    assert world.state.rollback.loss.accepted_by == "ben: they are test orders"
    world.tell(Kind.UNDONE, step=0, last=True, lost={"t": 4})
    assert world.state.rollback.loss.lost == {"t": 4}, "what was destroyed is what was measured"


def test_what_every_undo_would_destroy_is_counted_before_the_first_one_and_not_again() -> None:
    world = done(plan(phase(task(sql(), sql(), sql()))))
    world.take_another_way("undo")
    assert world.decide() == CountLoss(2)
    world.tell(Kind.LOSS_COUNTED, step=2, rows={}, how="measured", whole=True)
    for step in (2, 1, 0):
        assert world.decide() == RunUndo(step, 0, True, False)
        world.tell(Kind.UNDONE, step=step, last=True)


def test_who_was_told_which_tables_lose_rows_has_accepted_those_and_no_others() -> None:
    world = done(plan(phase(task(sql(), sql()))))
    world.take_another_way("undo")
    world.tell(Kind.LOSS_COUNTED, step=1, rows={"t": 3}, how="measured", whole=True)
    world.tell(Kind.RESUME, "ben", accept_loss=True)
    world.tell(Kind.LOSS_COUNTED, step=1, rows={"t": 9}, how="measured", whole=True)
    assert world.decide() == RunUndo(1, 0, True, False), "the same table, in which the application goes on writing"
    world.tell(Kind.LOSS_COUNTED, step=1, rows={"u": 1}, how="measured")
    assert world.state.rollback.loss.pending
    world.tell(Kind.RESUME, "ben", accept_loss=True)
    world.tell(Kind.LOSS_COUNTED, step=1, rows={"t": 9, "u": 1}, how="measured", whole=True)
    assert world.decide() == RunUndo(1, 0, True, False)


def test_who_accepts_any_loss_beforehand_is_not_asked() -> None:
    world = done(plan(phase(task(sql()))))
    world.tell(Kind.ROLL_BACK, "ben", accept_loss=True)
    world.tell(Kind.LOSS_COUNTED, step=0, rows={"t": 3}, how="measured", whole=True)
    assert world.decide() == RunUndo(0, 0, True, False)


def test_what_another_process_counted_is_counted_again() -> None:
    world = done(plan(phase(task(sql(), sql()))))
    world.tell(Kind.ROLL_BACK, "ben", accept_loss=True)
    world.tell(Kind.LOSS_COUNTED, step=1, rows={}, how="measured", whole=True)
    world.tell(Kind.TAKEN_OVER, epoch=2)
    assert world.decide() == CountLoss(1)


def test_scripts_of_a_level_run_in_their_order_and_once() -> None:
    world = done(one_step(rollback=EVERY_WAY, backup=Backup()))
    world.take_another_way("data")
    world.tell(Kind.SWITCHED, level="data", script=0)
    assert world.decide() == RunSwitch("data", 1)
    world.tell(Kind.SWITCHED, level="data", script=1)
    assert world.decide() == record(Kind.ALL_UNDONE)


def test_a_phase_is_rolled_back_by_itself_and_can_be_launched_again() -> None:
    made = plan(phase(task(sql())), phase(task(sql(), sql())), rollback=Rollback(reach="phase"))
    world = done(made)
    world.take_another_way("")
    assert world.once_counted() == RunUndo(2, 0, True, False)
    world.go_on()
    assert (world.state.status, world.state.phase, world.state.work.step) == (Status.READY, 1, 1)
    assert world.went_back == [(2, 0), (1, 0)], "the first phase stays"
    assert outcome(world.state) == "ready: its newest phase was rolled back"
    assert fraction(made, world.state) == pytest.approx(1 / 3)
    world.launch()
    world.go_on()
    assert world.state.status is Status.DONE


@pytest.mark.parametrize(("reach", "back_to", "undone"), [("run", None, 3), ("phase", None, 2), ("run", 1, 2), ("phase", 0, 3)])
def test_how_far_it_is_rolled_back_is_what_was_asked_else_what_the_runbook_says(
    reach: Literal["run", "phase"], back_to: int | None, undone: int
) -> None:
    world = done(plan(phase(task(sql())), phase(task(sql(), sql())), rollback=Rollback(reach=reach)))
    world.take_another_way("", back_to)
    world.go_on()
    assert len(world.went_back) == undone


def test_a_trip_rolls_back_as_far_as_the_runbook_says_and_an_abort_everything() -> None:
    for kind, undone in ((Kind.TRIPPED, [(1, 0)]), (Kind.ABORT, [(1, 0), (0, 0)])):
        soaking = phase(task(sql()), soak=timedelta(minutes=10))
        world = World(plan=plan(phase(task(sql())), soaking, rollback=Rollback(reach="phase")))
        for _ in range(2):
            world.launch()
            world.go_on(until=lambda state: state.status is Status.SOAKING and state.phase == 1)
        world.tell(kind, "watch", why="c: 3 of 5")
        world.go_on()
        assert world.went_back == undone


def test_a_rollback_of_a_phase_that_failed_can_be_widened_to_the_whole_run_and_never_narrowed() -> None:
    made = plan(phase(task(sql())), phase(task(sql())), rollback=Rollback(reach="phase"))
    world = done(made)
    world.take_another_way("")
    world.tell(Kind.UNDO_FAILED, step=1, why="no")
    assert next_commands(made, world.state, running=False)[-1].command == "gonogo rollback example --target demo --phase phase-0"
    world.take_another_way("", back_to=0)
    assert (world.state.rollback.back_to, world.state.held) == (0, "")
    world.tell(Kind.UNDO_FAILED, step=1, why="no")
    world.take_another_way("", back_to=1)
    assert world.state.rollback.back_to == 0


def test_what_switches_a_feature_off_is_the_whole_runs() -> None:
    everything = EVERY_WAY.model_copy(update={"reach": "phase"})
    world = done(plan(phase(task(sql())), phase(task(sql())), rollback=everything))
    world.take_another_way("feature")
    assert (world.state.rollback.back_to, world.state.rollback.level) == (0, "feature")


def test_each_phase_has_a_backup_of_its_own_where_the_runbook_says_so() -> None:
    world = World(plan=plan(phase(task(sql())), phase(task(sql())), backup=Backup(each_phase=True)))
    for _ in range(2):
        world.launch()
        world.go_on()
    assert sorted(world.state.known.backups) == [0, 1]


def test_after_a_restore_nothing_is_left_to_undo() -> None:
    world = done(one_step(rollback=EVERY_WAY, backup=Backup()))
    world.take_another_way("restore")
    world.tell(Kind.LOSS_COUNTED, step=1, rows={"t": 0}, how="estimated")
    world.tell(Kind.RESTORED, how="side by side")
    assert (world.state.status, world.state.work.step) == (Status.PROVING, 0)


def test_a_rollback_that_failed_names_the_next_safe_commands() -> None:
    made = one_step(rollback=Rollback(levels=("undo", "restore")), backup=Backup())
    world = done(made)
    world.take_another_way("undo")
    world.tell(Kind.UNDO_FAILED, step=0, why="no")
    told = [way.command for way in next_commands(made, world.state, running=False)]
    assert told == [
        "gonogo rollback example --target demo --continue",
        "gonogo resume example --target demo --settle done",
        "gonogo rollback example --target demo --level restore",
    ]


@pytest.mark.parametrize(
    ("state", "over"),
    [
        (State(status=Status.READY), False),
        (State(status=Status.NO_GO), True),
        (State(status=Status.NO_GO, changed=True), False),
        (State(status=Status.DONE, changed=True), True),
        (State(status=Status.ROLLED_BACK, changed=True), True),
        (State(status=Status.ROLLED_BACK, changed=True, rollback=RollbackState(level="feature")), False),
    ],
)
def test_a_backup_is_needed_as_long_as_its_run_may_be_restored(state: State, over: bool) -> None:
    assert is_over(state) is over
