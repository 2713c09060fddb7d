"""Budgets: what counts as downtime, the running total over phases, and what a spent budget leads to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate

import pytest
from support.events import body, event, record
from support.plans import START, phase, plan, script, sql, task

from gonogo.core.engine.budgets import Spent, describe, downtime, downtime_by_phase, spent
from gonogo.core.engine.commands import Command, Perform, Record, RunUndo
from gonogo.core.engine.decide import decide
from gonogo.core.engine.events import Body, Event, Held, Kind, RehearsalFound, RehearsedLevel
from gonogo.core.engine.evolve import evolve
from gonogo.core.engine.marks import downtime_mark, script_done
from gonogo.core.engine.rehearsal import why_not_ready
from gonogo.core.engine.state import DowntimeState, Known, State, Status
from gonogo.core.engine.work import WorkState
from gonogo.core.model.schedule import Budgets
from gonogo.core.plan.plan import Plan
from gonogo.core.text.messages import headline

MINUTE = timedelta(minutes=1)


LOCKS = script().model_copy(update={"locks": ("ACCESS EXCLUSIVE on orders",)})
SHARES = script().model_copy(update={"locks": ("SHARE on orders",)})


def two_phases(budget: timedelta | None = 30 * MINUTE, *, rollback: timedelta | None = None) -> Plan:
    """Two phases: the first switches the application off, changes something and switches it on; the second locks a table."""
    return plan(
        phase(task(sql()), task(sql(), takes=5 * MINUTE, downtime=True), task(sql(), sql(), takes=5 * MINUTE, downtime=True)),
        phase(task(sql(LOCKS), sql(SHARES)), task(sql(), takes=10 * MINUTE, downtime=True)),
        budgets=Budgets(downtime=budget, rollback=rollback),
    )


@dataclass(kw_only=True)
class Clocked:
    """A run in which every step takes the time that it is told to."""

    plan: Plan
    now: datetime = START
    events: list[Event] = field(default_factory=list)
    state: State = field(default_factory=State)

    def take_in(self, body: Body, takes: timedelta = timedelta(seconds=1), actor: str = "gonogo") -> None:
        began, self.now = self.now, self.now + takes
        self.events.append(Event(seq=len(self.events) + 1, at=self.now, began=began, actor=actor, body=body))
        self.state = evolve(self.state, self.events[-1])

    def tell(self, kind: Kind, actor: str = "gonogo", **named: object) -> None:
        self.take_in(body(kind, **named), actor=actor)

    def begin(self) -> None:
        self.tell(Kind.RUN_OPENED, plan=self.plan)
        self.launch()
        self.tell(Kind.BASELINE)
        self.tell(Kind.GO)

    def launch(self) -> None:
        self.tell(Kind.PHASE_STARTED, "anna", person="anna", at_once=True)

    def done(self, takes: timedelta) -> None:
        """Let the next step run for a while and commit."""
        self.take_in(script_done(self.plan, self.state.work.step), takes)

    def decide(self) -> Command | None:
        return decide(self.plan, self.state, self.now)

    @property
    def down(self) -> timedelta:
        return downtime(self.state, self.now)


@pytest.fixture
def world() -> Clocked:
    made = Clocked(plan=two_phases())
    made.begin()
    return made


def test_what_is_no_downtime_is_not_counted(world: Clocked) -> None:
    world.done(20 * MINUTE)
    assert world.down == timedelta(0)


def test_tasks_of_downtime_that_follow_one_another_are_one_stretch_with_what_lies_between(world: Clocked) -> None:
    world.done(MINUTE)
    world.done(2 * MINUTE)
    assert world.state.downtime.since is not None, "the next task is of downtime too"
    world.now += 3 * MINUTE
    assert world.down == 5 * MINUTE, "it counts while nothing happens"
    world.done(MINUTE)
    world.done(MINUTE)
    assert world.state.downtime.since is None
    world.now += 60 * MINUTE
    assert world.down == 7 * MINUTE


def test_what_others_waited_behind_tries_that_gave_up_is_downtime_once(world: Clocked) -> None:
    waited = script_done(world.plan, 0).replace(others_waited=3.0)
    world.take_in(waited, MINUTE)
    assert world.down == timedelta(seconds=3), "its own transaction locked nobody out"
    world.take_in(script_done(world.plan, 1).replace(others_waited=5.0), MINUTE)
    assert world.down == MINUTE + timedelta(seconds=8), "and then it is down until the next task is done"
    world.take_in(script_done(world.plan, 2).replace(others_waited=7.0), MINUTE)
    assert world.down == 2 * MINUTE + timedelta(seconds=8), "nobody loses a second twice"


def test_a_hold_while_the_application_is_down_is_downtime(world: Clocked) -> None:
    world.done(MINUTE)
    world.done(2 * MINUTE)
    world.tell(Kind.HOLD, "anna", why="lunch")
    world.now += 10 * MINUTE
    world.tell(Kind.RESUME, "anna")
    assert 12 * MINUTE < world.down < 13 * MINUTE


def test_a_script_that_locks_readers_out_counts_for_as_long_as_it_held_the_lock(world: Clocked) -> None:
    step = next(n for n, found in enumerate(world.plan.steps) if found.scripts[0].locks)
    world.state = State(status=Status.WORKING, phase=1, work=WorkState(step=step))
    world.done(4 * MINUTE)
    assert world.down == 4 * MINUTE
    world.done(9 * MINUTE)
    assert world.down == 4 * MINUTE, "SHARE lets everybody read"


def test_without_a_budget_only_declared_tasks_are_counted() -> None:
    made = two_phases(None)
    number = next(n for n, found in enumerate(made.steps) if found.scripts[0].locks)
    assert downtime_mark(made, number, LOCKS, last=True) == ""
    assert downtime_mark(made, 1, script(), last=True) == "down"


def test_the_total_goes_on_over_phases_and_a_phase_that_would_go_beyond_the_budget_is_no_go(world: Clocked) -> None:
    world.done(MINUTE)
    for _ in range(3):
        world.done(7 * MINUTE)
    world.tell(Kind.WORK_DONE)
    world.tell(Kind.VERIFIED)
    world.tell(Kind.PHASE_DONE)
    assert world.down == 21 * MINUTE
    assert why_not_ready(world.plan, world.state, world.now) == (
        "downtime: 21m are used, and this phase is expected to need 10m; the budget is 30m in all"
    )
    world.launch()
    assert world.decide() == record(Kind.NO_GO, why_not_ready(world.plan, world.state, world.now))
    world.tell(Kind.NO_GO, why="downtime")
    world.tell(Kind.PHASE_STARTED, "anna", person="anna", at_once=True, budget_override="the owner agrees to 40 minutes")
    assert why_not_ready(world.plan, world.state, world.now) == "", "who may override it has given the reason"


def test_what_the_rehearsal_needed_counts_where_it_is_more_than_planned() -> None:
    made = two_phases(15 * MINUTE)
    state = State(known=Known(rehearsed=RehearsalFound(down={"phase-0": 960.0})))
    assert "expected to need 16m" in why_not_ready(made, state, made.start)
    assert why_not_ready(made, State(), made.start) == ""


def test_a_run_that_has_gone_beyond_its_budget_holds_once_and_goes_on_when_a_person_says_so(world: Clocked) -> None:
    world.done(MINUTE)
    world.done(31 * MINUTE)
    found = world.decide()
    assert isinstance(found, Record)
    assert found.body == Held(why="downtime: 31m of 30m are used, and the application is still down", budget="downtime")
    world.take_in(found.body)
    assert world.state.alarm is not None, "people are told"
    world.tell(Kind.RESUME, "anna")
    assert isinstance(world.decide(), Perform)


def test_what_is_down_when_a_run_rolls_back_is_down_until_it_is_proved(world: Clocked) -> None:
    world.done(MINUTE)
    world.done(MINUTE)
    world.tell(Kind.FAILED, step=2, why="planted")
    world.now += 5 * MINUTE
    world.tell(Kind.UNDONE, step=1, down=downtime_mark(world.plan, 1, LOCKS, back=True))
    assert world.state.downtime.since is not None
    world.tell(Kind.UNDONE, step=0, script=0, last=True)
    world.tell(Kind.ALL_UNDONE)
    world.tell(Kind.PROVED, why="as before")
    assert world.state.downtime.since is None
    assert 6 * MINUTE < world.down < 7 * MINUTE


def test_rolling_back_beyond_its_budget_is_told_once_and_goes_on() -> None:
    world = Clocked(plan=two_phases(rollback=2 * MINUTE))
    world.begin()
    world.done(MINUTE)
    world.tell(Kind.FAILED, step=1, why="planted")
    world.tell(Kind.LOSS_COUNTED, step=0, rows={}, how="measured", whole=True)
    assert isinstance(world.decide(), RunUndo)
    world.now += 3 * MINUTE
    found = world.decide()
    assert isinstance(found, Record)
    assert found.body.kind is Kind.OVERRUN
    world.take_in(found.body)
    assert world.state.alarm is not None
    assert not world.state.held, "a way back never stops for its clock"
    assert isinstance(world.decide(), RunUndo)


def test_a_way_back_that_was_slower_in_the_rehearsal_than_its_budget_is_no_go() -> None:
    made = two_phases(rollback=2 * MINUTE)
    state = State(known=Known(rehearsed=RehearsalFound(levels={"undo": RehearsedLevel(took=150.0, verdict="restores exactly")})))
    assert why_not_ready(made, state, made.start) == "rolling back took 2m 30s in the rehearsal; its budget is 2m"


def test_what_is_used_is_told_with_what_there_is(world: Clocked) -> None:
    world.done(MINUTE)
    world.done(2 * MINUTE)
    known = spent(world.plan, world.state, world.now)["downtime"]
    assert known == Spent(used=120.0, budget=1800.0, counting=True)
    assert not known.over
    assert describe("downtime", known) == "downtime: 2m of 30m, and counting"
    assert "downtime: 2m of 30m, and counting" in headline(world.plan, world.state, "r1", world.now).text


def test_a_rehearsal_tells_how_long_each_phase_was_down(world: Clocked) -> None:
    world.done(MINUTE)
    for _ in range(3):
        world.done(2 * MINUTE)
    world.tell(Kind.WORK_DONE)
    world.tell(Kind.VERIFIED)
    states = list(accumulate(world.events, evolve, initial=State()))[1:]
    assert downtime_by_phase(world.plan, zip(world.events, states, strict=True)) == {"phase-0": 360.0}


def test_a_spent_budget_stops_no_phase_that_needs_nothing() -> None:
    made = two_phases(2 * MINUTE)
    tasks = tuple(task.model_copy(update={"downtime": task.phase == 0}) for task in made.tasks)
    state = State(status=Status.GATING, phase=1, downtime=DowntimeState(total=5 * MINUTE), changed=True)
    assert why_not_ready(made.model_copy(update={"tasks": tasks}), state, made.start) == ""
    assert "this phase is expected to need 10m" in why_not_ready(made, state, made.start)


def test_a_statement_that_ran_alone_locks_people_out_from_its_start_to_its_end_and_no_longer() -> None:
    state = State(status=Status.WORKING, phase=1, work=WorkState(step=5))
    at, locked = START, "locked out"
    held = evolve(state, event(Kind.STARTED, step=5, down=locked))
    assert downtime(held, at + 3 * MINUTE) == 3 * MINUTE
    assert downtime(evolve(held, event(Kind.DONE, 4 * MINUTE, step=5, down=locked)), at + 60 * MINUTE) == 4 * MINUTE
    assert downtime(evolve(held, event(Kind.FAILED, MINUTE, step=5, why="x")), at + 60 * MINUTE) == MINUTE
    doubt = evolve(held, event(Kind.NOT_DONE, 9 * MINUTE, step=5, down=locked))
    assert downtime(doubt, at + 60 * MINUTE) == timedelta(0), "nobody knows how long it held its lock before its runner died"


def test_a_script_that_failed_locked_people_out_for_as_long_as_it_took() -> None:
    state = State(status=Status.WORKING, phase=1, work=WorkState(step=5))
    failed = event(Kind.FAILED, step=5, why="x", down="locked out", took=120.0)
    assert downtime(evolve(state, failed), START) == 2 * MINUTE


def test_what_takes_its_time_without_a_transaction_counts_from_its_begin() -> None:
    state = State(status=Status.WORKING)
    assert downtime(evolve(state, event(Kind.DONE, step=1, took=60.0, down="up again")), START) == MINUTE
    asked = event(Kind.ASKED, items=["box"], step=1, down="down")
    assert downtime(evolve(state, asked), START + MINUTE) == MINUTE
