from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from support.events import event, record
from support.memory import a_check_fails
from support.plans import START, backfill, check, phase, plan, script, sql, task
from support.world import World

from gonogo.core.engine.commands import JudgeGate, MeasureBaseline, Perform, ProveRollback, Resolve, RunUndo, Verify, Wait
from gonogo.core.engine.events import BODIES, Kind, ScriptDone
from gonogo.core.engine.evolve import evolve, fold
from gonogo.core.engine.state import EDGES, ENDED, NEXT, Edge, PlanRules, RollbackState, State, Status
from gonogo.core.engine.work import WorkState
from gonogo.core.plan.plan import Plan

SOAK = timedelta(minutes=10)


def launched(made: Plan) -> World:
    world = World(plan=made)
    world.launch()
    return world


def working(made: Plan) -> World:
    world = launched(made)
    world.go_on(until=lambda state: state.status is Status.WORKING)
    return world


def kinds(world: World) -> list[Kind]:
    return [event.kind for event in world.events]


def one_step(on_failure: str = "roll back") -> Plan:
    return plan(phase(task(sql()), on_failure=on_failure))


# forward


def test_a_run_waits_for_its_launch_and_then_goes_from_gate_to_done() -> None:
    world = World(plan=plan(phase(task(sql(), check()), soak=SOAK)))
    assert world.decide() is None
    world.launch()
    told = []
    while (command := world.decide()) is not None:
        told.append((world.state.status, command))
        world.carry_out(command)
    assert [status for status, _ in told] == [
        *[Status.GATING] * 2,
        *[Status.WORKING] * 3,
        Status.VERIFYING,
        *[Status.SOAKING] * 2,
    ]
    commands = [command for _, command in told]
    assert commands[:6] == [MeasureBaseline(), JudgeGate(), Perform(0, 0), Perform(1, 0), record(Kind.WORK_DONE), Verify()]
    assert isinstance(commands[6], Wait)
    assert commands[7] == record(Kind.RUN_DONE)
    assert world.state.status is Status.DONE
    assert world.effects == {(0, "0"): 0}


def test_the_baseline_is_measured_before_the_gate_is_judged_and_the_gate_before_anything_changes() -> None:
    world = launched(one_step())
    world.go_on()
    order = [Kind.BASELINE, Kind.GO, Kind.DONE]
    assert [kind for kind in kinds(world) if kind in order] == order


def test_no_go_changes_nothing_and_ends_the_run() -> None:
    world = launched(one_step())
    world.go_on(a_check_fails)
    assert world.state.status is Status.NO_GO
    assert not world.state.changed
    assert not world.effects
    assert world.decide() is None


def test_a_phase_that_got_no_go_can_be_launched_again() -> None:
    world = launched(one_step())
    world.go_on(a_check_fails)
    world.launch()
    assert world.decide() == MeasureBaseline()
    world.go_on()
    assert world.state.status is Status.DONE


def test_scripts_run_in_order_and_each_is_counted_once() -> None:
    world = launched(plan(phase(task(sql(count=2), sql(count=3)))))
    world.go_on()
    assert world.went_forward == [(0, "0"), (0, "1"), (1, "0"), (1, "1"), (1, "2")]


def test_a_backfill_goes_on_after_its_last_cursor() -> None:
    world = working(plan(phase(task(backfill()))))
    world.tell(Kind.BATCH, step=0, upto=["7", "x"], rows=10)
    assert (world.state.work.cursor, world.state.work.rows) == (("7", "x"), 10)
    world.tell(Kind.BATCH, step=0, upto=["9", "y"], rows=5)
    assert (world.state.work.cursor, world.state.work.rows) == (("9", "y"), 15)
    assert world.decide() == Perform(0, 0)
    world.tell(Kind.DONE, step=0, script=0, last=True, rows=15)
    assert (world.state.work.step, world.state.work.cursor, world.state.work.rows) == (1, None, 0)


def test_a_finished_step_leaves_nothing_to_the_next() -> None:
    world = working(plan(phase(task(sql(count=2), sql()))))
    world.tell(Kind.DONE, step=0, script=0, last=False)
    assert (world.state.work.step, world.state.work.script) == (0, 1)
    world.tell(Kind.DONE, step=0, script=1, last=True)
    assert (world.state.work.step, world.state.work.script, world.state.work.started) == (1, 0, None)


@pytest.mark.parametrize("wait", [timedelta(seconds=1), timedelta(minutes=30)])
def test_a_task_does_not_start_before_its_time_and_starts_when_it_comes(wait: timedelta) -> None:
    world = working(plan(phase(task(sql(), at=timedelta(hours=1)))))
    assert world.state.phase_at is not None
    opens = world.state.phase_at + timedelta(hours=1)
    world.now = opens - wait
    command = world.decide()
    assert isinstance(command, Wait)
    assert command.until == opens
    world.now = opens
    assert world.decide() == Perform(0, 0)


def test_times_count_from_the_start_of_their_own_phase() -> None:
    world = launched(plan(phase(task(sql()), soak=timedelta(hours=5)), phase(task(sql(), at=timedelta(hours=1)))))
    world.go_on()
    assert world.state.status is Status.READY
    world.launch()
    began = world.now
    world.go_on(until=lambda state: state.status is Status.WORKING)
    command = world.decide()
    assert isinstance(command, Wait)
    assert command.until == began + timedelta(hours=1)


def test_a_task_that_has_begun_waits_no_more() -> None:
    world = working(plan(phase(task(sql(count=2), at=timedelta(minutes=1)))))
    world.tell(Kind.DONE, step=0, script=0, last=False)
    assert world.decide() == Perform(0, 1)


def test_only_the_first_step_of_a_task_waits_for_its_time() -> None:
    world = working(plan(phase(task(sql(), sql(), at=timedelta(hours=1)))))
    world.tell(Kind.DONE, step=0, script=0, last=True)
    assert world.decide() == Perform(1, 0)


def test_a_backfill_that_has_a_cursor_waits_no_more() -> None:
    world = working(plan(phase(task(backfill(), at=timedelta(hours=1)))))
    assert isinstance(world.decide(), Wait)
    world.tell(Kind.BATCH, step=0, upto=["1"], rows=1)
    assert world.decide() == Perform(0, 0)


def test_a_task_without_a_time_starts_at_once() -> None:
    assert working(one_step()).decide() == Perform(0, 0)


def test_a_soak_lasts_from_the_verification_for_as_long_as_the_phase_says() -> None:
    world = working(plan(phase(task(sql()), soak=SOAK)))
    world.go_on(until=lambda state: state.status is Status.SOAKING)
    verified = world.now
    assert world.decide() == Wait(verified + SOAK, "watching what the change does")
    world.now = verified + SOAK - timedelta(microseconds=1)
    assert isinstance(world.decide(), Wait)
    world.now = verified + SOAK
    assert world.decide() == record(Kind.RUN_DONE)


def test_phases_are_launched_and_gated_one_by_one() -> None:
    world = launched(plan(phase(task(sql())), phase(task(sql(), sql())), phase(task(check()))))
    for number in range(3):
        assert world.state.phase == number
        assert world.decide() == MeasureBaseline()
        world.go_on()
        if number < 2:
            assert world.state.status is Status.READY
            assert world.decide() is None
            world.launch()
    assert world.state.status is Status.DONE
    assert kinds(world).count(Kind.GO) == 3
    assert kinds(world).count(Kind.PHASE_DONE) == 2
    assert kinds(world).count(Kind.RUN_DONE) == 1


def test_the_first_baseline_is_the_one_that_a_rollback_leads_back_to() -> None:
    world = launched(plan(phase(task(sql())), phase(task(sql()))))
    world.tell(Kind.BASELINE, schema={"table a": "1"})
    world.go_on()
    world.launch()
    world.tell(Kind.BASELINE, schema={"table a": "2"})
    assert world.state.known.baseline.fingerprint.objects == {"table a": "1"}
    assert world.decide() == JudgeGate()


def test_a_phase_without_steps_goes_straight_to_its_verification() -> None:
    world = working(plan(phase(task(), task(at=timedelta(hours=9)))))
    assert world.decide() == record(Kind.WORK_DONE)


def test_the_times_of_the_phase_before_do_not_count_for_the_next() -> None:
    world = launched(plan(phase(task(sql())), phase(task(sql()))))
    world.go_on()
    assert world.state.phase_at is None
    assert world.state.phase == 1


def test_a_run_that_is_launched_early_starts_at_its_time() -> None:
    world = World(plan=one_step(), now=START - timedelta(hours=1))
    world.launch()
    assert world.decide() == Wait(START, "the run starts at its time")
    world.now = START
    assert world.decide() == MeasureBaseline()


def test_a_launch_at_once_waits_for_no_clock_time() -> None:
    world = World(plan=plan(phase(task(sql(), at=timedelta(hours=1)))), now=START - timedelta(hours=1))
    world.launch(at_once=True)
    assert world.decide() == MeasureBaseline()
    world.go_on(until=lambda state: state.status is Status.WORKING)
    assert world.decide() == Perform(0, 0)


def test_at_once_is_said_for_one_launch_only_and_a_soak_is_never_cut_short() -> None:
    world = World(plan=plan(phase(task(sql()), soak=SOAK), phase(task(sql(), at=timedelta(hours=1)))))
    world.launch(at_once=True)
    world.go_on(until=lambda state: state.status is Status.SOAKING)
    assert isinstance(world.decide(), Wait)
    world.go_on()
    world.launch()
    world.go_on(until=lambda state: state.status is Status.WORKING)
    assert isinstance(world.decide(), Wait)


def test_only_the_first_phase_waits_for_the_start_of_the_run() -> None:
    world = World(plan=plan(phase(task(sql())), phase(task(sql()))), now=START - timedelta(hours=1))
    world.launch(at_once=True)
    world.go_on()
    world.now = START - timedelta(minutes=5)
    world.launch()
    assert world.decide() == MeasureBaseline()


# a failure rolls it back


@pytest.mark.parametrize("kind", [Kind.FAILED, Kind.TRIPPED, Kind.ABORT, Kind.ROLL_BACK])
def test_what_goes_wrong_while_it_works_rolls_it_back(kind: Kind) -> None:
    world = working(plan(phase(task(sql(), sql()))))
    world.tell(Kind.DONE, step=0, script=0, last=True)
    world.tell(kind, "ben", why="no")
    assert world.state.status is Status.ROLLING_BACK
    assert world.state.rollback.cause == "no"
    assert world.once_counted() == RunUndo(0, 0, True, False)


@pytest.mark.parametrize("why", [{}, {"why": ""}])
def test_a_run_that_rolled_back_without_a_reason_says_by_what(why: dict[str, str]) -> None:
    assert working(one_step()).tell(Kind.ABORT, "ben", **why).rollback.cause == "abort"


def test_a_failed_verification_rolls_it_back() -> None:
    world = launched(one_step())
    world.go_on(until=lambda state: state.status is Status.VERIFYING)
    world.carry_out(Verify(), a_check_fails)
    world.go_on()
    assert world.state.status is Status.ROLLED_BACK
    assert Kind.VERIFY_FAILED in kinds(world)
    assert not world.effects


def test_a_failed_step_rolls_everything_back_and_proves_it() -> None:
    world = launched(plan(phase(task(sql(), sql(), sql()))))
    world.go_on(until=lambda state: state.work.step == 2)
    world.carry_out(Perform(2, 0), lambda _: "failed")
    assert world.state.status is Status.ROLLING_BACK
    world.go_on()
    assert world.state.status is Status.ROLLED_BACK
    assert world.went_back == [(1, 0), (0, 0)]
    assert kinds(world)[-2:] == [Kind.ALL_UNDONE, Kind.PROVED]


def test_steps_are_undone_newest_first_across_tasks_and_phases() -> None:
    world = launched(plan(phase(task(sql(), sql()), task(sql())), phase(task(sql()))))
    world.go_on()
    world.launch()
    world.go_on()
    assert world.state.status is Status.DONE
    world.tell(Kind.ROLL_BACK, "ben", why="it was wrong")
    world.go_on()
    assert world.went_back == [(3, 0), (2, 0), (1, 0), (0, 0)]
    assert world.state.status is Status.ROLLED_BACK
    assert not world.effects


def test_undo_scripts_of_a_step_run_in_their_order() -> None:
    world = launched(plan(phase(task(sql(undo=[script(), script(), script()])))))
    world.go_on()
    world.tell(Kind.ROLL_BACK, "ben")
    undone = []
    while isinstance(command := world.once_counted(), RunUndo):
        undone.append(command)
        world.carry_out(command)
    assert undone == [RunUndo(0, 0, False, False), RunUndo(0, 1, False, False), RunUndo(0, 2, True, False)]


def test_a_step_that_was_done_in_part_is_undone_too() -> None:
    world = working(plan(phase(task(sql(), sql(count=2)))))
    world.tell(Kind.DONE, step=0, script=0, last=True)
    world.tell(Kind.DONE, step=1, script=0, last=False)
    world.tell(Kind.FAILED, step=1, why="no")
    assert world.once_counted() == RunUndo(1, 0, True, False)
    world.tell(Kind.UNDONE, step=1, script=0, last=True)
    assert world.once_counted() == RunUndo(0, 0, True, False)
    world.tell(Kind.UNDONE, step=0, script=0, last=True)
    assert world.decide() == record(Kind.ALL_UNDONE)


def test_a_step_that_did_nothing_is_not_undone() -> None:
    world = working(plan(phase(task(sql(), sql()))))
    world.tell(Kind.DONE, step=0, script=0, last=True)
    world.tell(Kind.FAILED, step=1, why="no", left=False)
    assert world.once_counted() == RunUndo(0, 0, True, False)


def test_a_step_that_failed_and_left_something_is_undone() -> None:
    world = working(plan(phase(task(sql(alone=True)))))
    world.tell(Kind.STARTED, step=0, script=0, last=True)
    world.tell(Kind.FAILED, step=0, why="no", left=True)
    assert world.once_counted() == RunUndo(0, 0, True, False)


def test_a_backfill_is_undone_once_it_has_done_a_batch() -> None:
    world = working(plan(phase(task(backfill()))))
    world.tell(Kind.FAILED, step=0, why="no")
    assert world.decide() == record(Kind.ALL_UNDONE)
    world = working(plan(phase(task(backfill()))))
    world.tell(Kind.BATCH, step=0, upto=["1"], rows=1)
    world.tell(Kind.FAILED, step=0, why="no")
    assert world.once_counted() == RunUndo(0, 0, True, False)


def test_steps_with_nothing_to_undo_are_passed_over() -> None:
    world = working(plan(phase(task(sql(), sql(undo=()), check()))))
    world.go_on()
    world.tell(Kind.ROLL_BACK, "ben")
    assert world.once_counted() == RunUndo(0, 0, True, False)


def paired(*, alone: bool = False) -> Plan:
    forward = [script(0), script(1, alone=alone), script(1, alone=alone), script(2)]
    return plan(phase(task(sql(*forward, undo=[script(2), script(1), script(1), script(0)], paired=True))))


@pytest.mark.parametrize(("done", "first"), [(1, 3), (2, 1), (3, 1)])
def test_paired_undo_skips_the_sources_that_were_never_reached(done: int, first: int) -> None:
    world = working(paired())
    for number in range(done):
        world.tell(Kind.DONE, step=0, script=number, last=False)
    world.tell(Kind.FAILED, step=0, why="no")
    assert world.once_counted() == RunUndo(0, first, first == 3, False)


def test_paired_undo_does_not_skip_the_source_that_failed_and_left_something() -> None:
    world = working(paired(alone=True))
    world.tell(Kind.DONE, step=0, script=0, last=False)
    world.tell(Kind.STARTED, step=0, script=1, last=False)
    world.tell(Kind.FAILED, step=0, why="no", left=True)
    assert world.once_counted() == RunUndo(0, 1, False, False)


def test_paired_undo_of_a_finished_step_skips_nothing() -> None:
    world = working(paired())
    world.go_on()
    world.tell(Kind.ROLL_BACK, "ben")
    assert world.once_counted() == RunUndo(0, 0, False, False)


def test_undo_that_is_not_paired_skips_nothing() -> None:
    made = plan(phase(task(sql(script(0), script(1), undo=[script(0), script(1)]))))
    world = working(made)
    world.tell(Kind.DONE, step=0, script=0, last=False)
    world.tell(Kind.FAILED, step=0, why="no")
    assert world.once_counted() == RunUndo(0, 0, False, False)


def test_a_step_without_undo_ends_the_way_back_in_rollback_failed() -> None:
    world = working(plan(phase(task(sql(undo=None), sql()))))
    world.go_on()
    world.tell(Kind.ROLL_BACK, "ben")
    world.go_on()
    assert world.went_back == [(1, 0)], "what can be undone is undone first"
    assert world.state.rollback.failed
    assert world.state.held.startswith("rollback failed: task-0.1 has no undo; undo it by hand")
    assert world.state.status is Status.ROLLING_BACK
    assert world.decide() is None


def test_a_step_without_undo_that_was_undone_by_hand_is_undone_and_the_way_back_goes_on() -> None:
    world = working(plan(phase(task(sql(), sql(undo=None), sql(undo=None)))))
    world.go_on(until=lambda state: state.work.step == 2)
    world.tell(Kind.ABORT, "ben")
    world.go_on()
    assert "task-0.2 has no undo" in world.state.held
    assert world.settle()
    assert world.once_counted() == RunUndo(0, 0, True, False)
    world.go_on()
    assert world.state.status is Status.ROLLED_BACK


def test_a_step_without_undo_that_was_never_reached_does_not_stand_in_the_way() -> None:
    world = working(plan(phase(task(sql(), sql(undo=None)))))
    world.tell(Kind.DONE, step=0, script=0, last=True)
    world.tell(Kind.ABORT, "ben")
    world.go_on()
    assert world.state.status is Status.ROLLED_BACK


def test_an_undo_that_fails_holds_the_run_until_a_person_resumes_it_and_then_it_is_tried_again() -> None:
    world = working(plan(phase(task(sql(undo=[script(), script()])))))
    world.tell(Kind.DONE, step=0, script=0, last=True)
    world.tell(Kind.ABORT, "ben")
    world.tell(Kind.UNDONE, step=0, script=0, last=False)
    world.tell(Kind.UNDO_FAILED, step=0, why="a lock")
    assert world.state.held == "rollback failed: a lock"
    assert world.state.rollback.failed
    assert world.decide() is None
    world.tell(Kind.RESUME, "ben")
    assert not world.state.rollback.failed
    assert world.once_counted() == RunUndo(0, 1, True, False), "what is undone is not undone again"


def test_a_rollback_that_is_not_proved_holds_and_is_proved_again_when_resumed() -> None:
    world = working(one_step())
    world.tell(Kind.ABORT, "ben")
    world.tell(Kind.ALL_UNDONE)
    assert world.decide() == ProveRollback()
    world.tell(Kind.NOT_PROVED, why="table a differs")
    assert (world.state.status, world.state.rollback.failed) == (Status.PROVING, True)
    assert world.decide() is None
    world.tell(Kind.RESUME, "ben")
    assert world.decide() == ProveRollback()
    world.tell(Kind.PROVED, why="nothing differs")
    assert world.state.status is Status.ROLLED_BACK


# hold, resume, abort


@pytest.mark.parametrize("status", [Status.GATING, Status.WORKING, Status.VERIFYING, Status.SOAKING])
def test_nothing_is_decided_while_a_run_is_held_and_the_same_as_before_once_it_is_resumed(status: Status) -> None:
    world = launched(plan(phase(task(sql()), soak=SOAK)))
    world.go_on(until=lambda state: state.status is status)
    before = world.decide()
    world.tell(Kind.HOLD, "ben", why="lunch")
    assert world.state.held == "ben says hold: lunch"
    assert world.decide() is None
    assert world.state.status is status
    world.tell(Kind.RESUME, "ben")
    assert world.state.held == ""
    if isinstance(before, Wait):
        # the second in which nobody watched is watched afterwards
        before = Wait(before.until + timedelta(seconds=1), before.why)
    assert world.decide() == before


def test_neither_a_hold_nor_the_time_without_a_process_counts_as_soak() -> None:
    world = launched(plan(phase(task(sql()), soak=SOAK)))
    world.go_on(until=lambda state: state.status is Status.SOAKING)
    wait = world.decide()
    assert isinstance(wait, Wait)
    world.tell(Kind.HELD, "watch", why="no data")
    world.now += timedelta(days=1)
    world.tell(Kind.RESUME, "ben")
    later = world.decide()
    assert isinstance(later, Wait)
    assert later.until - wait.until >= timedelta(days=1)
    world.now += timedelta(days=1)
    world.tell(Kind.TAKEN_OVER, epoch=2)
    last = world.decide()
    assert isinstance(last, Wait)
    assert last.until - later.until >= timedelta(days=1)


def test_a_hold_that_a_launch_ended_does_not_make_a_later_soak_longer() -> None:
    world = launched(plan(phase(task(sql())), phase(task(sql()), soak=SOAK)))
    world.go_on()
    world.tell(Kind.HOLD, "ben", why="until tomorrow")
    world.now += timedelta(days=1)
    world.launch()
    world.go_on(until=lambda state: state.status is Status.SOAKING)
    wait = world.decide()
    assert isinstance(wait, Wait)
    world.tell(Kind.HOLD, "ben", why="lunch")
    world.now += timedelta(minutes=30)
    world.tell(Kind.RESUME, "ben")
    later = world.decide()
    assert isinstance(later, Wait)
    assert timedelta(minutes=30) <= later.until - wait.until < timedelta(minutes=31)


def test_a_hold_without_a_reason_is_a_hold() -> None:
    assert working(one_step()).tell(Kind.HOLD, "ben").held == "ben says hold: no reason given"


def test_what_gonogo_itself_holds_for_is_said_as_it_is() -> None:
    assert working(one_step()).tell(Kind.HELD, why="c gives no data").held == "c gives no data"
    assert working(one_step()).tell(Kind.HELD).held


@pytest.mark.parametrize("kind", [Kind.ABORT, Kind.ROLL_BACK, Kind.TRIPPED])
def test_a_held_run_can_be_rolled_back_and_holds_no_more(kind: Kind) -> None:
    world = working(one_step())
    world.tell(Kind.DONE, step=0, script=0, last=True)
    world.tell(Kind.HOLD, "ben", why="hm")
    world.tell(kind, "ben", why="no")
    assert world.state.held == ""
    assert world.once_counted() == RunUndo(0, 0, True, False)


def test_the_way_back_can_be_held_too() -> None:
    world = working(one_step())
    world.tell(Kind.DONE, step=0, script=0, last=True)
    world.tell(Kind.ABORT, "ben")
    world.tell(Kind.HOLD, "ben", why="look first")
    assert world.decide() is None
    world.tell(Kind.RESUME, "ben")
    assert world.once_counted() == RunUndo(0, 0, True, False)


def test_a_step_that_fails_where_the_phase_says_hold_is_done_again_when_resumed() -> None:
    world = launched(one_step("hold"))
    world.go_on(lambda options: "failed" if options[0] == "done" else options[0])
    assert world.state.status is Status.WORKING
    assert world.state.held == "task-0.1 failed: no"
    world.tell(Kind.RESUME, "ben")
    assert world.decide() == Perform(0, 0)


def test_abort_at_the_first_gate_has_nothing_to_undo() -> None:
    world = launched(one_step())
    world.tell(Kind.ABORT, "ben")
    assert world.decide() == record(Kind.ALL_UNDONE)
    world.go_on()
    assert world.state.status is Status.ROLLED_BACK
    assert not world.state.changed


@pytest.mark.parametrize("kind", [Kind.ABORT, Kind.ROLL_BACK])
def test_a_run_that_waits_between_its_phases_can_be_rolled_back(kind: Kind) -> None:
    world = launched(plan(phase(task(sql())), phase(task(sql()))))
    world.go_on()
    world.tell(kind, "ben")
    world.go_on()
    assert world.went_back == [(0, 0)]
    assert world.state.status is Status.ROLLED_BACK


def test_a_later_phase_that_got_no_go_leaves_the_earlier_ones_and_they_can_be_rolled_back() -> None:
    world = launched(plan(phase(task(sql())), phase(task(sql()))))
    world.go_on()
    world.launch()
    world.go_on(a_check_fails)
    assert world.state.status is Status.NO_GO
    assert world.effects
    world.tell(Kind.ROLL_BACK, "ben")
    world.go_on()
    assert not world.effects
    assert world.state.status is Status.ROLLED_BACK


def test_a_launch_takes_a_hold_back() -> None:
    world = World(plan=one_step())
    world.tell(Kind.HOLD, "ben")
    world.launch()
    assert world.decide() == MeasureBaseline()


@pytest.mark.parametrize("end", [Kind.RUN_DONE, Kind.PROVED, Kind.NO_GO])
def test_a_hold_that_came_too_late_does_not_hold_a_run_that_has_ended(end: Kind) -> None:
    world = launched(one_step())
    if end is Kind.NO_GO:
        world.tell(Kind.BASELINE)
    else:
        world.go_on(until=lambda state: state.status is Status.SOAKING)
    if end is Kind.PROVED:
        world.tell(Kind.ABORT, "ben")
        world.go_on(until=lambda state: state.status is Status.PROVING)
    world.tell(Kind.HOLD, "ben")
    world.tell(end, why="it was on its way")
    assert world.state.status in ENDED
    assert world.state.held == ""


# in doubt


def test_a_script_that_had_begun_is_in_doubt_and_is_asked_about_before_anything_else() -> None:
    world = working(plan(phase(task(sql(alone=True, count=2)))))
    world.tell(Kind.STARTED, step=0, script=0, last=False)
    assert world.decide() == Resolve(0, 0)
    world.refold()
    assert world.decide() == Resolve(0, 0)


def test_a_script_in_doubt_that_did_not_happen_is_done_again() -> None:
    world = working(plan(phase(task(sql(alone=True)))))
    world.tell(Kind.STARTED, step=0, script=0, last=True)
    world.tell(Kind.NOT_DONE, step=0, script=0)
    assert world.decide() == Perform(0, 0)


def test_a_script_in_doubt_that_happened_is_not_done_again() -> None:
    world = working(plan(phase(task(sql(alone=True), sql()))))
    world.tell(Kind.STARTED, step=0, script=0, last=True)
    world.tell(Kind.DONE, step=0, script=0, last=True)
    assert world.decide() == Perform(1, 0)


def test_a_script_in_doubt_is_asked_about_before_the_way_back_and_undone_if_it_happened() -> None:
    world = working(plan(phase(task(sql(alone=True)))))
    world.tell(Kind.STARTED, step=0, script=0, last=True)
    world.tell(Kind.ABORT, "ben")
    assert world.decide() == Resolve(0, 0)
    world.tell(Kind.DONE, step=0, script=0, last=True)
    assert world.once_counted() == RunUndo(0, 0, True, False)


def test_a_script_in_doubt_that_did_not_happen_leaves_nothing_to_undo() -> None:
    world = working(plan(phase(task(sql(alone=True)))))
    world.tell(Kind.STARTED, step=0, script=0, last=True)
    world.tell(Kind.ABORT, "ben")
    world.tell(Kind.NOT_DONE, step=0, script=0)
    assert world.decide() == record(Kind.ALL_UNDONE)


def test_an_undo_that_had_begun_is_doubtful_until_it_is_done() -> None:
    world = working(plan(phase(task(sql(undo=[script(alone=True), script(alone=True)])))))
    world.tell(Kind.DONE, step=0, script=0, last=True)
    world.tell(Kind.ABORT, "ben")
    world.tell(Kind.UNDO_STARTED, step=0, script=0, last=False)
    assert world.once_counted() == RunUndo(0, 0, False, True)
    world.tell(Kind.UNDONE, step=0, script=0, last=False)
    assert world.once_counted() == RunUndo(0, 1, True, False)


def test_an_undo_of_which_a_person_says_that_it_did_not_happen_is_not_doubtful_any_more() -> None:
    world = working(plan(phase(task(sql(undo=[script(alone=True)])))))
    world.tell(Kind.DONE, step=0, script=0, last=True)
    world.tell(Kind.ABORT, "ben")
    world.tell(Kind.UNDO_STARTED, step=0, script=0, last=True)
    world.tell(Kind.UNDO_FAILED, step=0, why="it is in doubt")
    world.tell(Kind.NOT_DONE, step=0, script=0)
    world.tell(Kind.RESUME, "ben")
    assert world.once_counted() == RunUndo(0, 0, True, False)


# facts that were on their way when the rollback began: the one who asks does not wait for the script that runs


def test_a_script_that_commits_after_the_rollback_began_is_undone() -> None:
    world = working(one_step())
    world.tell(Kind.ABORT, "ben")
    world.tell(Kind.DONE, step=0, script=0, last=True)
    assert world.once_counted() == RunUndo(0, 0, True, False)


def test_a_first_batch_that_commits_after_the_rollback_began_is_undone() -> None:
    world = working(plan(phase(task(backfill()))))
    world.tell(Kind.ABORT, "ben")
    world.tell(Kind.BATCH, step=0, upto=["1"], rows=1)
    assert world.state.changed
    assert world.once_counted() == RunUndo(0, 0, True, False)


def test_a_script_that_began_after_the_rollback_began_is_in_doubt() -> None:
    world = working(plan(phase(task(sql(alone=True)))))
    world.tell(Kind.ABORT, "ben")
    world.tell(Kind.STARTED, step=0, script=0, last=True)
    assert world.decide() == Resolve(0, 0)


def test_what_a_script_left_that_failed_after_the_rollback_began_is_undone() -> None:
    world = working(plan(phase(task(sql(alone=True)))))
    world.tell(Kind.STARTED, step=0, script=0, last=True)
    world.tell(Kind.ABORT, "ben", why="enough")
    world.tell(Kind.FAILED, step=0, why="cancelled", left=True)
    assert world.once_counted() == RunUndo(0, 0, True, False)
    assert world.state.rollback.cause == "enough"


@pytest.mark.parametrize(
    ("status", "kind"), [(s, k) for s in Status for k in Kind if (s, k) not in NEXT and k is not Kind.RUN_OPENED]
)
def test_a_fact_that_the_table_does_not_name_leads_nowhere(status: Status, kind: Kind) -> None:
    before = State(status=status, seq=7, phase=1, work=WorkState(step=2, script=1))
    named: dict[str, Any] = {"step": 2} if "step" in BODIES[kind].model_fields else {}
    after = evolve(before, event(kind, seq=8, actor="ben", why="late", **named))
    assert (after.status, after.phase, after.work.step, after.work.script) == (status, 1, 2, 1)
    assert after.work.cursor is None
    assert after.seq == 8
    assert (after.held != "") == (kind in (Kind.HOLD, Kind.HELD) and status not in ENDED)


@pytest.mark.parametrize("edge", EDGES, ids=lambda e: f"{e.source}, {e.kind}")
def test_a_fact_that_the_table_names_leads_where_it_says(edge: Edge) -> None:
    rules, rollback = PlanRules(levels=("feature", "undo")), RollbackState(level="feature", failed=True)
    levels = State(status=edge.source, seq=7, rules=rules, rollback=rollback)
    named: dict[str, Any] = {"level": "undo"} if edge.kind in (Kind.ROLL_BACK, Kind.ABORT) else {}
    came = event(edge.kind, seq=8, actor="ben", why="because", **named)
    assert evolve(levels, came).status is edge.target


def test_the_table_says_one_thing_only_for_a_fact_in_a_status() -> None:
    assert len(NEXT) == len(EDGES)


def test_the_state_knows_when_the_run_was_opened_and_whether_it_changed_anything() -> None:
    world = working(one_step())
    assert world.state.opened_at == world.events[0].at
    assert not world.state.changed
    world.go_on()
    assert world.state.changed


def test_the_first_and_the_last_of_a_steps_scripts_say_where_it_stands() -> None:
    world = working(plan(phase(task(sql(), sql(count=9), sql()))))
    world.go_on(until=lambda state: state.work.step == 1 and state.work.script == 7)
    done = [(e.seq, e.body) for e in world.events if isinstance(e.body, ScriptDone)]
    inner = [seq for seq, body in done if body.step == 1 and 0 < body.script < 6]
    assert len(inner) == 5
    assert fold([e for e in world.events if e.seq not in inner]) == world.state


def test_folding_the_ledger_gives_the_state_again() -> None:
    world = launched(plan(phase(task(sql(), backfill(), check())), phase(task(sql()))))
    world.go_on()
    world.launch()
    world.go_on()
    world.tell(Kind.ROLL_BACK, "ben")
    world.go_on()
    assert fold(world.events) == world.state
    assert fold([]) == State()


def test_the_undo_of_what_acts_beyond_the_database_is_asked_again_as_it_was_asked_first() -> None:
    state = State(status=Status.ROLLING_BACK)
    first = evolve(state, event(Kind.UNDO_STARTED, seq=7, step=0, script=0, last=True))
    again = evolve(first, event(Kind.UNDO_STARTED, seq=12, step=0, script=0, last=True))
    assert (first.rollback.undo_attempt, again.rollback.undo_attempt) == (7, 7)
    undone = evolve(again, event(Kind.UNDONE, seq=13, step=0, script=0, last=True))
    assert undone.rollback.undo_attempt == 0, "the next undo is another one"


def test_a_script_is_done_by_its_own_number_whatever_was_lost_before_it() -> None:
    state = State(status=Status.WORKING)
    assert evolve(state, event(Kind.DONE, seq=9, step=4, script=0, last=True)).work.step == 5
