"""Budgets: what counts as downtime, the running total over phases, and what a spent budget leads to."""

from __future__ import annotations

from datetime import timedelta
from itertools import accumulate

import pytest
from plans import START, World, phase, plan, script, sql, task

from gonogo.core.engine import decide
from gonogo.core.engine.budgets import describe, downtime, downtime_by_phase, mark, spent
from gonogo.core.engine.events import Event, Kind
from gonogo.core.engine.evolve import evolve
from gonogo.core.engine.rehearsal import why_not_ready
from gonogo.core.engine.state import State, Status
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


class Clocked(World):
    """A world in which every step takes the time that it is told to."""

    def begin(self) -> None:
        self.launch(at_once=True)
        self.tell(Kind.BASELINE)
        self.tell(Kind.GO)

    def done(self, takes: timedelta, **more: object) -> None:
        """Let the next step run for a while and commit."""
        began, number = self.now, self.state.step
        step = self.plan.steps[number]
        self.now += takes
        body = {"step": number, "script": 0, "last": True, **mark(self.plan, number, step.scripts[0], last=True), **more}
        event = Event(seq=len(self.events) + 1, kind=Kind.DONE, at=self.now, began=began, actor="gonogo", body=body)
        self.events.append(event)
        self.state = evolve(self.state, event)

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
    assert world.state.down_since is not None, "the next task is of downtime too"
    world.now += 3 * MINUTE
    assert world.down == 5 * MINUTE, "it counts while nothing happens"
    world.done(MINUTE)
    world.done(MINUTE)
    assert world.state.down_since is None
    world.now += 60 * MINUTE
    assert world.down == 7 * MINUTE


def test_a_hold_while_the_application_is_down_is_downtime(world: Clocked) -> None:
    world.done(MINUTE)
    world.done(2 * MINUTE)
    world.tell(Kind.HOLD, "anna", why="lunch")
    world.now += 10 * MINUTE
    world.tell(Kind.RESUME, "anna")
    assert 12 * MINUTE < world.down < 13 * MINUTE


def test_a_script_that_locks_readers_out_counts_for_as_long_as_it_held_the_lock(world: Clocked) -> None:
    step = next(n for n, found in enumerate(world.plan.steps) if found.scripts[0].locks)
    world.state = State(status=Status.WORKING, phase=1, step=step)
    world.done(4 * MINUTE)
    assert world.down == 4 * MINUTE
    world.done(9 * MINUTE)
    assert world.down == 4 * MINUTE, "SHARE lets everybody read"


def test_without_a_budget_only_declared_tasks_are_counted() -> None:
    made = two_phases(None)
    number = next(n for n, found in enumerate(made.steps) if found.scripts[0].locks)
    assert mark(made, number, LOCKS, last=True) == {}
    assert mark(made, 1, script(), last=True) == {"down": "down"}


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
    world.launch(at_once=True)
    assert world.decide() == decide.Record(Kind.NO_GO, why_not_ready(world.plan, world.state, world.now))
    world.tell(Kind.NO_GO, why="downtime")
    world.tell(Kind.PHASE_STARTED, "anna", person="anna", at_once=True, beyond="the owner agrees to 40 minutes")
    assert why_not_ready(world.plan, world.state, world.now) == "", "who may override it has given the reason"


def test_what_the_rehearsal_needed_counts_where_it_is_more_than_planned() -> None:
    made = two_phases(15 * MINUTE)
    state = State(rehearsed={"down": {"phase-0": 960.0}, "levels": {}})
    assert "expected to need 16m" in why_not_ready(made, state, made.start)
    assert why_not_ready(made, State(), made.start) == ""


def test_a_run_that_has_gone_beyond_its_budget_holds_once_and_goes_on_when_a_person_says_so(world: Clocked) -> None:
    world.done(MINUTE)
    world.done(31 * MINUTE)
    found = world.decide()
    assert isinstance(found, decide.Record)
    assert (found.kind, found.budget) == (Kind.HELD, "downtime")
    assert found.why == "downtime: 31m of 30m are used, and the application is still down"
    world.tell(Kind.HELD, why=found.why, budget=found.budget)
    assert world.state.alarm is not None, "people are told"
    world.tell(Kind.RESUME, "anna")
    assert isinstance(world.decide(), decide.Perform)


def test_what_is_down_when_a_run_turns_back_is_down_until_it_is_proved(world: Clocked) -> None:
    world.done(MINUTE)
    world.done(MINUTE)
    world.tell(Kind.FAILED, step=2, why="planted")
    world.now += 5 * MINUTE
    undone = {"step": 1, "script": 0, "last": True, **mark(world.plan, 1, LOCKS, back=True)}
    world.tell(Kind.UNDONE, **undone)
    assert world.state.down_since is not None
    world.tell(Kind.UNDONE, step=0, script=0, last=True)
    world.tell(Kind.ALL_UNDONE)
    world.tell(Kind.PROVED, why="as before")
    assert world.state.down_since is None
    assert 6 * MINUTE < world.down < 7 * MINUTE


def test_turning_back_beyond_its_budget_is_told_once_and_goes_on() -> None:
    world = Clocked(plan=two_phases(rollback=2 * MINUTE))
    world.begin()
    world.done(MINUTE)
    world.tell(Kind.FAILED, step=1, why="planted")
    assert isinstance(world.decide(), decide.Undo)
    world.now += 3 * MINUTE
    found = world.decide()
    assert isinstance(found, decide.Record)
    assert found.kind is Kind.OVERRUN
    world.tell(Kind.OVERRUN, why=found.why, budget="rollback")
    assert world.state.alarm is not None
    assert not world.state.held, "a way back never stops for its clock"
    assert isinstance(world.decide(), decide.Undo)


def test_a_way_back_that_was_slower_in_the_rehearsal_than_its_budget_is_no_go() -> None:
    made = two_phases(rollback=2 * MINUTE)
    state = State(rehearsed={"levels": {"undo": {"took": 150.0, "verdict": "restores exactly"}}})
    assert why_not_ready(made, state, made.start) == "turning back took 2m 30s in the rehearsal; its budget is 2m"


def test_what_is_used_is_told_with_what_there_is(world: Clocked) -> None:
    world.done(MINUTE)
    world.done(2 * MINUTE)
    known = spent(world.plan, world.state, world.now)["downtime"]
    assert known == {"used": 120.0, "budget": 1800.0, "counting": True, "over": False}
    assert describe("downtime", known) == "downtime: 2m of 30m, and counting"
    assert "downtime: 2m of 30m, and counting" in headline(world.plan, world.state, "r1", world.now)


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
    state = State(status=Status.GATING, phase=1, down=5 * MINUTE, changed=True)
    assert why_not_ready(made.model_copy(update={"tasks": tasks}), state, made.start) == ""
    assert "this phase is expected to need 10m" in why_not_ready(made, state, made.start)


def test_a_statement_that_ran_alone_locks_people_out_from_its_start_to_its_end_and_no_longer() -> None:
    at, state = START, State(status=Status.WORKING, phase=1, step=5)

    def fact(kind: Kind, after: timedelta, **body: object) -> Event:
        return Event(seq=1, kind=kind, at=at + after, began=at + after, body={"step": 5, "script": 0, "last": True, **body})

    held = evolve(state, fact(Kind.STARTED, timedelta(0), down="locked out"))
    assert downtime(held, at + 3 * MINUTE) == 3 * MINUTE
    assert downtime(evolve(held, fact(Kind.DONE, 4 * MINUTE, down="locked out")), at + 60 * MINUTE) == 4 * MINUTE
    assert downtime(evolve(held, fact(Kind.FAILED, MINUTE, why="x")), at + 60 * MINUTE) == MINUTE
    doubt = evolve(held, fact(Kind.NOT_DONE, 9 * MINUTE, down="locked out"))
    assert downtime(doubt, at + 60 * MINUTE) == timedelta(0), "nobody knows how long it held its lock before its runner died"


def test_a_script_that_failed_locked_people_out_for_as_long_as_it_took() -> None:
    state = State(status=Status.WORKING, phase=1, step=5)
    body = {"step": 5, "why": "x", "down": "locked out", "took": 120.0}
    assert downtime(evolve(state, Event(seq=1, kind=Kind.FAILED, at=START, began=START, body=body)), START) == 2 * MINUTE


def test_what_takes_its_time_without_a_transaction_counts_from_its_begin() -> None:
    state = State(status=Status.WORKING)
    body = {"step": 1, "script": 0, "last": True, "took": 60.0, "down": "up again"}
    assert downtime(evolve(state, Event(seq=1, kind=Kind.DONE, at=START, began=START, body=body)), START) == MINUTE
    asked = Event(seq=1, kind=Kind.ASKED, at=START, began=START, body={"items": ["box"], "step": 1, "down": "down"})
    assert downtime(evolve(state, asked), START + MINUTE) == MINUTE
