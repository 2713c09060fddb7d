from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.plans import LAUNCHER, PEOPLE, START, APhase, AStep, ATask, backfill, check, confirm, phase, plan, script, task
from support.schedules import ANYBODY, DECISIONS, WATCHED, WISHES, broken, comes_to_rest, rests, says, wander
from support.world import World

from gonogo.core.engine.decide import decide
from gonogo.core.engine.events import Kind
from gonogo.core.engine.evolve import fold
from gonogo.core.engine.state import AT_REST, NEEDS_APPROVAL, SWITCH_LEVELS, Status
from gonogo.core.model.people import Approve, most_votes
from gonogo.core.model.rollback import LEVELS, Backup, Level, Rehearsal, Rollback, Switch
from gonogo.core.plan.plan import Plan, Script


@st.composite
def sources(draw: st.DrawFn, count: int) -> tuple[Script, ...]:
    scripts: list[Script] = []
    for part in range(count):
        several = draw(st.integers(1, 2)) if count < 3 else 1
        alone = draw(st.lists(st.booleans(), min_size=several, max_size=several))
        scripts += [script(part, alone=a) for a in alone]
    return tuple(scripts[:3])


@st.composite
def steps(draw: st.DrawFn) -> AStep:
    kind = draw(st.sampled_from(("sql", "sql", "sql", "backfill", "check", "confirm")))
    if kind == "check":
        return check()
    if kind == "confirm":
        return confirm(*["box"] * draw(st.integers(1, 2)))
    has_undo = draw(st.sampled_from(("yes", "yes", "yes", "nothing", "none")))
    if kind == "backfill":
        undo = draw(sources(draw(st.integers(1, 2)))) if has_undo == "yes" else () if has_undo == "nothing" else None
        return backfill((script(),), in_batches=True) if undo and draw(st.booleans()) else backfill(undo)
    forward = draw(sources(draw(st.integers(1, 3))))
    destroys = draw(st.sampled_from(((), (), ("t",))))
    if has_undo != "yes":
        return AStep(scripts=forward, undo=() if has_undo == "nothing" else None)
    parts = 1 + max(s.part for s in forward)
    if parts > 1 and draw(st.booleans()):
        back = sorted(draw(sources(parts)), key=lambda s: -s.part)
        whole = {s.part for s in back} == set(range(parts))
        return AStep(scripts=forward, undo=tuple(back), paired=whole, destroys=destroys)
    return AStep(scripts=forward, undo=draw(sources(draw(st.integers(1, 3)))), destroys=destroys)


@st.composite
def tasks(draw: st.DrawFn) -> ATask:
    at = draw(st.none() | st.integers(0, 30).map(lambda m: timedelta(minutes=m)))
    takes = draw(st.none() | st.integers(0, 30).map(lambda m: timedelta(minutes=m)))
    return task(*draw(st.lists(steps(), max_size=3)), at=at, takes=takes)


@st.composite
def rules(draw: st.DrawFn) -> Approve:
    """Whose agreement is needed, such that it can be had."""
    roles = draw(st.lists(st.sampled_from(("lead", "dba", "ops", "emil")), min_size=1, max_size=3, unique=True))
    not_launcher = draw(st.booleans())
    able = {name: person for name, person in PEOPLE.items() if name != LAUNCHER or not not_launcher}
    within = timedelta(minutes=draw(st.sampled_from((1, 30, 24 * 60))))
    made = [Approve(roles=tuple(roles), quorum=n, within=within, not_launcher=not_launcher) for n in (1, 2, 3)]
    return draw(st.sampled_from([rule for rule in made if most_votes(rule, able) >= rule.quorum]))


boxes = st.sampled_from(((), (), ("box",), ("box", "box")))


@st.composite
def phases(draw: st.DrawFn) -> APhase:
    soak = timedelta(minutes=draw(st.sampled_from((0, 10))))
    on_failure = draw(st.sampled_from(("roll back", "hold")))
    rule, before, after = draw(st.none() | rules()), draw(boxes), draw(boxes)
    work = draw(st.lists(tasks(), max_size=3))
    return phase(*work, soak=soak, on_failure=on_failure, approve=rule, before=before, after=after)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    backup = draw(st.sampled_from((None, Backup(), Backup(after=True), Backup(each_phase=True), Backup(waived="snapshots"))))
    rehearsal = draw(st.sampled_from((None, None, Rehearsal(), Rehearsal(waived="small"))))
    levels: list[Level] = draw(st.lists(st.sampled_from(LEVELS), min_size=1, max_size=4, unique=True))
    switch = Switch(sql=("s.sql",), prove=("c",))
    feature, data = (switch if name in levels else None for name in ("feature", "data"))
    made = draw(st.lists(phases(), min_size=1, max_size=3))
    rollback = Rollback(levels=tuple(levels), reach=draw(st.sampled_from(("run", "phase"))), feature=feature, data=data)
    return plan(*made, authority=draw(st.none() | rules()), backup=backup, rehearsal=rehearsal, rollback=rollback)


class ARun(RuleBasedStateMachine):
    """Any plan, any outcome, people who ask for anything at any time, and crashes."""

    @initialize(made=plans(), early=st.sampled_from((0, 0, 30)))
    def open(self, made: Plan, early: int) -> None:
        self.world = World(plan=made, now=START - timedelta(minutes=early))

    @precondition(lambda self: self.world.state.status in (Status.READY, Status.NO_GO))
    @rule(at_once=st.booleans())
    def launch(self, at_once: bool) -> None:
        self.world.launch(at_once=at_once)

    @precondition(lambda self: self.world.decide() is not None)
    @rule(data=st.data(), commands=st.integers(1, 5))
    def go_on(self, data: st.DataObject, commands: int) -> None:
        def choose(options: Sequence[str]) -> str:
            return data.draw(st.sampled_from((options[0], options[0], *options)))

        def between() -> None:
            if data.draw(st.integers(0, 9)) == 9:
                self.ask(data.draw(st.sampled_from(WISHES)))

        for _ in range(commands):
            if (command := self.world.decide()) is not None:
                self.world.carry_out(command, choose, between)

    @precondition(lambda self: self.world.decide() is not None)
    @rule(commands=st.integers(1, 10))
    def go_well(self, commands: int) -> None:
        for _ in range(commands):
            if (command := self.world.decide()) is not None:
                self.world.carry_out(command)

    @rule(kind=st.sampled_from((*WISHES, Kind.HOLD, Kind.RESUME, Kind.RESUME)), why=st.sampled_from(("", "because")))
    def ask(self, kind: Kind, why: str = "") -> None:
        before = self.world.state
        self.world.tell(kind, "ben", why=why)
        if kind in NEEDS_APPROVAL and before.changed and self.world.plan.rollback.authority is not None:
            assert self.world.state.status is before.status, "nobody rolls back alone what was changed"

    @rule(
        person=st.sampled_from(ANYBODY), decision=st.sampled_from(DECISIONS), seal=st.sampled_from((None, None, "", "an old one"))
    )
    def vote(self, person: str, decision: str, seal: str | None) -> None:
        says(self.world, person, decision, self.world.seal_of(0) if seal == "an old one" else seal)

    @rule(person=st.sampled_from(ANYBODY))
    def agree(self, person: str) -> None:
        self.world.agree(person)

    @precondition(lambda self: self.world.waits_for_people())
    @rule()
    def everybody_agrees(self) -> None:
        self.world.everybody_agrees()

    @precondition(lambda self: self.world.plan.items(self.world.state.phase))
    @rule(data=st.data())
    def tick(self, data: st.DataObject) -> None:
        self.world.confirm(data.draw(st.sampled_from(sorted(self.world.plan.items(self.world.state.phase)))))

    @precondition(lambda self: self.world.answers)
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        self.world.refuse(data.draw(st.sampled_from(self.world.answers)))

    @rule()
    def change_the_schema(self) -> None:
        self.world.schema += 1

    @rule(minutes=st.sampled_from((1, 29, 31, 24 * 60)))
    def let_time_pass(self, minutes: int) -> None:
        self.world.now += timedelta(minutes=minutes)

    @rule()
    def resume(self) -> None:
        self.world.tell(Kind.RESUME, "ben")

    @rule()
    def settle(self) -> None:
        self.world.settle()

    @rule(level=st.sampled_from(("", *LEVELS)), back_to=st.none() | st.integers(0, 2))
    def take_another_way(self, level: str, back_to: int | None) -> None:
        self.world.take_another_way(level, None if back_to is None else back_to % len(self.world.plan.phases))

    @precondition(lambda self: self.world.state.status in WATCHED)
    @rule(kind=st.sampled_from((Kind.TRIPPED, Kind.HELD, Kind.SAMPLE)))
    def watch(self, kind: Kind) -> None:
        self.world.tell(kind, "watch", why="consume: 3 of 5")

    @rule()
    def crash(self) -> None:
        self.world.refold()

    @rule(newest=st.integers(1, 8))
    def lose(self, newest: int) -> None:
        self.world.lose(newest)

    @invariant()
    def the_fold_is_the_state(self) -> None:
        assert fold(self.world.events) == self.world.state

    @invariant()
    def nothing_is_decided_while_the_run_is_held_or_at_rest_and_something_is_otherwise(self) -> None:
        state = self.world.state
        rests = bool(state.held) or state.status in AT_REST
        assert (decide(self.world.plan, state, self.world.now) is None) == rests

    @invariant()
    def a_run_that_stands_somewhere_says_why(self) -> None:
        if self.world.state.held or self.world.waits_for_people():
            rests(self.world)

    @invariant()
    def a_run_that_has_ended_holds_nothing(self) -> None:
        state = self.world.state
        if state.status in (Status.DONE, Status.NO_GO, Status.ROLLED_BACK):
            assert not state.held

    @invariant()
    def what_is_rolled_back_is_gone(self) -> None:
        if self.world.state.status is Status.ROLLED_BACK and self.world.state.rollback.level not in SWITCH_LEVELS:
            left = [step for step, _ in self.world.effects]
            assert all(self.world.plan.steps[step].undo == () for step in left)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            comes_to_rest(self.world)


@given(plans(), st.integers(0, 2**32))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_happens_nothing_is_done_twice_or_left_behind_and_the_run_comes_to_rest(made: Plan, seed: int) -> None:
    chance = Random(seed)  # noqa: S311 - it is a test
    for _ in range(5):
        comes_to_rest(wander(made, chance))


def test_schedules_that_are_told_by_their_seeds_break_no_rule() -> None:
    assert broken(range(300)) == []


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_hundred_thousand_schedules_break_no_rule() -> None:
    assert broken(range(300, 100_300)) == []


ARun.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestEveryRun = ARun.TestCase
