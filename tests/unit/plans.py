"""Small plans, made by hand, and a pretended database to run them on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from gonogo.core import engine
from gonogo.core.event import Event, Kind
from gonogo.core.plan import Plan, PlannedPhase, PlannedStep, PlannedTask, Script
from gonogo.core.runbook import Check, Rollback, SqlSettings, Updates
from gonogo.core.state import State, Status

START = datetime(2025, 10, 12, 16, 53, tzinfo=UTC)
NOTHING = timedelta(0)


def script(part: int = 0, *, alone: bool = False) -> Script:
    act = {"act": "create index", "object": '"i"'} if alone else {}
    return Script(source=f"{part:03}.sql", sha256=f"{part:064x}", part=part, transactional=not alone, **act)


@dataclass(frozen=True, kw_only=True)
class AStep:
    kind: str = "sql"
    scripts: tuple[Script, ...] = ()
    undo: tuple[Script, ...] | None = ()
    paired: bool = False


def sql(
    *scripts: Script, undo: Sequence[Script] | None = (script(),), paired: bool = False, count: int = 1, alone: bool = False
) -> AStep:
    forward = scripts or tuple(script(alone=alone) for _ in range(count))
    return AStep(scripts=forward, undo=None if undo is None else tuple(undo), paired=paired)


def backfill(undo: Sequence[Script] | None = (script(),)) -> AStep:
    return AStep(kind="backfill", scripts=(script(),), undo=None if undo is None else tuple(undo))


def check() -> AStep:
    return AStep(kind="check")


@dataclass(frozen=True, kw_only=True)
class ATask:
    steps: tuple[AStep, ...] = ()
    at: timedelta | None = None
    takes: timedelta | None = None
    owner: str = ""


def task(*steps: AStep, at: timedelta | None = None, takes: timedelta | None = None, owner: str = "") -> ATask:
    return ATask(steps=steps, at=at, takes=takes, owner=owner)


@dataclass(frozen=True, kw_only=True)
class APhase:
    tasks: tuple[ATask, ...] = ()
    soak: timedelta = NOTHING
    on_failure: str = "roll back"


def phase(*tasks: ATask, soak: timedelta = NOTHING, on_failure: str = "roll back") -> APhase:
    return APhase(tasks=tasks, soak=soak, on_failure=on_failure)


def plan(*phases: APhase, blockers: tuple[str, ...] = (), checks: Mapping[str, Check] | None = None) -> Plan:
    """Number the parts and put them on the clock, as planning does."""
    steps: list[PlannedStep] = []
    tasks: list[PlannedTask] = []
    planned: list[PlannedPhase] = []
    moment = START
    for p, a_phase in enumerate(phases):
        phase_first, begins = len(steps), moment
        for a_task in a_phase.tasks:
            name, first = f"task-{len(tasks)}", len(steps)
            for a_step in a_task.steps:
                steps.append(
                    PlannedStep(
                        name=f"{name}.{len(steps) - first + 1}",
                        task=name,
                        phase=p,
                        kind=a_step.kind,
                        scripts=a_step.scripts,
                        undo=a_step.undo,
                        paired=a_step.paired,
                        lock_timeout=timedelta(seconds=2),
                        statement_timeout=timedelta(minutes=1),
                    )
                )
            start = max(moment, begins + a_task.at) if a_task.at is not None else moment
            moment = start + (a_task.takes or NOTHING)
            tasks.append(
                PlannedTask(
                    name=name,
                    title=f"Task {len(tasks)}",
                    owner=a_task.owner,
                    phase=p,
                    first=first,
                    last=len(steps) - 1,
                    at=a_task.at,
                    takes=a_task.takes,
                    start=start,
                    end=moment,
                )
            )
        planned.append(
            PlannedPhase(
                name=f"phase-{p}",
                title=f"Phase {p}",
                every=timedelta(seconds=5),
                soak=a_phase.soak,
                on_failure=a_phase.on_failure,
                first=phase_first,
                last=len(steps) - 1,
                start=begins,
                end=moment + a_phase.soak,
            )
        )
        moment += a_phase.soak
    return Plan(
        runbook="example",
        title="An example",
        target="demo",
        zone="Europe/Rome",
        start=START,
        updates=Updates(blockers=blockers),
        sql=SqlSettings(),
        checks=checks or {},
        phases=tuple(planned),
        tasks=tuple(tasks),
        steps=tuple(steps),
        rollback=Rollback(),
    )


def in_order(options: Sequence[str]) -> str:
    """Choose what is benign: it stands first."""
    return options[0]


def quietly() -> None:
    """Let nobody come between a decision and its fact."""


@dataclass(kw_only=True)
class World:
    """A run, the facts it has recorded, and what is really in its database."""

    plan: Plan
    state: State = field(default_factory=State)
    events: list[Event] = field(default_factory=list)
    now: datetime = START
    #: what is in the database: (step, script or batch)
    effects: dict[tuple[int, str], int] = field(default_factory=dict)
    #: undo scripts of the step that is being undone which have really happened
    undone: set[tuple[int, int]] = field(default_factory=set)
    #: the undo scripts in the order they ran, and the scripts
    went_back: list[tuple[int, int]] = field(default_factory=list)
    went_forward: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tell(Kind.RUN_OPENED)

    def tell(self, kind: Kind, actor: str = "gonogo", **body: Any) -> State:
        self.now += timedelta(seconds=1)
        event = Event(seq=len(self.events) + 1, kind=kind, at=self.now, began=self.now, actor=actor, body=body)
        self.events.append(event)
        self.state = engine.evolve(self.state, event)
        return self.state

    def decide(self) -> engine.Command | None:
        return engine.decide(self.plan, self.state, self.now)

    def launch(self, *, at_once: bool = False) -> None:
        self.tell(Kind.PHASE_STARTED, "anna", **({"at_once": True} if at_once else {}))

    def settle(self) -> bool:
        """Let a person look at the database and say what is true there; return whether there was anything to say."""
        state = self.state
        if state.held and state.started is not None:
            step, number = self.plan.steps[state.step], state.started
            body = {"step": state.step, "script": number, "last": number == len(step.scripts) - 1}
            self.tell(Kind.DONE if (state.step, str(number)) in self.effects else Kind.NOT_DONE, **body)
        elif state.rollback_failed and state.status is Status.ROLLING_BACK:
            self._settle_undo()
        else:
            return False
        self.tell(Kind.RESUME, "ben")
        return True

    def _settle_undo(self) -> None:
        command = engine.decide(self.plan, replace(self.state, held=""), self.now)
        if isinstance(command, engine.Undo):
            happened = (command.step, command.script) in self.undone
            body = {"step": command.step, "script": command.script, "last": command.last}
            self.tell(Kind.UNDONE if happened else Kind.NOT_DONE, **body)
        elif isinstance(command, engine.Record) and command.kind is Kind.UNDO_FAILED:
            number = engine.undoable(self.plan, self.state)
            assert number is not None
            for effect in [effect for effect in self.effects if effect[0] == number]:
                del self.effects[effect]
            self.tell(Kind.UNDONE, step=number, script=0, last=True)

    def refold(self) -> None:
        """Crash: all that is left is the ledger."""
        folded = engine.fold(self.events)
        assert folded == self.state
        self.state = folded
        self.tell(Kind.TAKEN_OVER, epoch=2)

    # what a runner does

    def go_on(
        self,
        choose: Callable[[Sequence[str]], str] = in_order,
        between: Callable[[], None] = quietly,
        *,
        until: Callable[[State], bool] = lambda _: False,
        most: int = 500,
    ) -> int:
        """Carry out what is decided until nothing is; return how many commands that took."""
        for number in range(most):
            command = self.decide()
            if command is None or until(self.state):
                return number
            self.carry_out(command, choose, between)
        raise AssertionError(f"the run does not end: {self.state}")

    def carry_out(
        self,
        command: engine.Command,
        choose: Callable[[Sequence[str]], str] = in_order,
        between: Callable[[], None] = quietly,
    ) -> None:
        assert not self.state.held, "nothing is performed while the run is held"
        _Hands(self, choose, between).carry_out(command)


class _Hands:
    """Do in the pretended database what `flows.perform` does in a real one."""

    def __init__(self, world: World, choose: Callable[[Sequence[str]], str], between: Callable[[], None]) -> None:
        self.world, self.choose, self.between = world, choose, between

    def tell(self, kind: Kind, **body: Any) -> None:
        self.between()
        self.world.tell(kind, **body)

    def carry_out(self, command: engine.Command) -> None:
        match command:
            case engine.MeasureBaseline():
                self.tell(Kind.BASELINE, measurements={"rows": 1}, schema={"table a": "1"})
            case engine.JudgeGate():
                self.gate()
            case engine.Wait():
                self.wait(command)
            case engine.Perform(number, index):
                self.perform(number, index)
            case engine.Resolve(number, index):
                self.resolve(number, index)
            case engine.Verify():
                self.verify()
            case engine.Undo():
                self.undo(command)
            case engine.Prove():
                self.prove()
            case engine.Record(kind, why):
                self.record(kind, why)

    def wait(self, command: engine.Wait) -> None:
        assert command.until > self.world.now
        assert command.why
        rest = command.until - self.world.now
        self.world.now += rest if self.choose(("all of it", "a part")) == "all of it" else rest / 2

    def record(self, kind: Kind, why: str) -> None:
        if kind is Kind.ALL_UNDONE:
            self.nothing_is_left()
        self.tell(kind, **({"why": why} if why else {}))

    def gate(self) -> None:
        assert self.world.state.started is None
        if self.choose(("go", "no-go")) == "go":
            self.tell(Kind.GO)
        else:
            self.tell(Kind.NO_GO, why="c: 1 is not = 0 (fail)")

    # forward

    def perform(self, number: int, index: int) -> None:
        step = self.world.plan.steps[number]
        assert self.world.state.status is Status.WORKING
        if step.kind == "check":
            outcome = self.choose(("done", "failed", "held"))
            if outcome == "held":
                self.tell(Kind.HELD, why=f"{step.name}: no data")
            else:
                self.done(number, 0) if outcome == "done" else self.failed(number)
        elif step.kind == "backfill":
            self.batch(number)
        elif step.scripts[index].transactional:
            outcome = self.choose(("done", "failed", "lost"))
            if outcome == "done":
                self.happens(number, str(index))
                self.done(number, index)
            elif outcome == "failed":
                self.failed(number)
        else:
            self.alone(number, index)

    def batch(self, number: int) -> None:
        outcome = self.choose(("done", "batch", "batch", "failed", "lost"))
        if outcome == "batch":
            done = sum(1 for step, _ in self.world.effects if step == number)
            self.happens(number, f"batch {done}")
            self.tell(Kind.BATCH, step=number, upto=[str(done)], rows=10, batch=0, of=100, seconds=0.1)
        elif outcome == "done":
            self.done(number, 0)
        elif outcome == "failed":
            self.failed(number)

    def alone(self, number: int, index: int) -> None:
        body = {"step": number, "script": index, "last": index == len(self.world.plan.steps[number].scripts) - 1}
        self.tell(Kind.STARTED, **body)
        outcome = self.choose(
            ("done", "failed", "failed, and left something", "failed, and may have", "died before", "died after")
        )
        if outcome in ("done", "failed, and left something", "died after"):
            self.happens(number, str(index))
        if outcome == "done":
            self.done(number, index)
        elif outcome.startswith("failed"):
            self.failed(number, left=outcome != "failed")

    def happens(self, number: int, what: str) -> None:
        assert (number, what) not in self.world.effects, f"{what} of step {number} is performed twice"
        self.world.effects[number, what] = len(self.world.effects)
        self.world.went_forward.append((number, what))

    def done(self, number: int, index: int) -> None:
        step = self.world.plan.steps[number]
        last = index == len(step.scripts) - 1 or step.kind != "sql"
        self.tell(Kind.DONE, step=number, script=index, last=last)

    def failed(self, number: int, *, left: bool = False) -> None:
        step = self.world.plan.steps[number]
        why = f"{step.name} failed: no"
        if self.world.plan.phases[step.phase].on_failure == "hold":
            if self.world.state.started is not None and not left:
                self.tell(Kind.NOT_DONE, step=number)
            self.tell(Kind.HELD, why=why)
        else:
            self.tell(Kind.FAILED, step=number, why=why, left=left)

    def resolve(self, number: int, index: int) -> None:
        step = self.world.plan.steps[number]
        assert not step.scripts[index].transactional, "a transactional script is never in doubt"
        if self.choose(("known", "unknown")) == "unknown":
            self.tell(Kind.HELD, why=f"{step.name} is in doubt")
        elif (number, str(index)) in self.world.effects:
            self.done(number, index)
        else:
            self.tell(Kind.NOT_DONE, step=number, script=index)

    def verify(self) -> None:
        phase_ = self.world.plan.phases[self.world.state.phase]
        assert self.world.state.step == phase_.last + 1, "verified only when every step is done"
        outcome = self.choose(("verified", "failed", "no data"))
        if outcome == "verified":
            self.tell(Kind.VERIFIED)
        elif outcome == "failed" and phase_.on_failure == "roll back":
            self.tell(Kind.VERIFY_FAILED, why="c: 1 is not = 0 (fail)")
        else:
            self.tell(Kind.HELD, why="verify: no data")

    # back

    def undo(self, command: engine.Undo) -> None:
        world, number, index = self.world, command.step, command.script
        step = world.plan.steps[number]
        assert step.undo
        assert command.last == (index == len(step.undo) - 1)
        later = [s for s, _ in world.effects if s > number and world.plan.steps[s].undo != ()]
        assert not later, f"step {number} is undone before {later}"
        before = {i for s, i in world.undone if s == number}
        if step.undo[index].transactional:
            self.undo_in_transaction(command)
            return
        if command.doubtful and self.choose(("known", "unknown")) == "unknown":
            self.tell(Kind.UNDO_FAILED, step=number, why=f"the undo of {step.name} is in doubt")
            return
        if (number, index) in world.undone:
            assert command.doubtful, "an undo script that happened is asked about before it runs again"
            self.undo_is_done(command)
            return
        assert index not in before
        self.tell(Kind.UNDO_STARTED, step=number, script=index, last=command.last)
        outcome = self.choose(("done", "failed", "died before", "died after"))
        if outcome in ("done", "died after"):
            self.goes_back(command)
        if outcome == "done":
            self.undo_is_done(command)
        elif outcome == "failed":
            self.tell(Kind.UNDO_FAILED, step=number, why=f"undo of {step.name}: no")

    def undo_in_transaction(self, command: engine.Undo) -> None:
        outcome = self.choose(("done", "failed", "lost"))
        if outcome == "done":
            self.goes_back(command)
            self.undo_is_done(command)
        elif outcome == "failed":
            self.tell(Kind.UNDO_FAILED, step=command.step, why="undo: no")

    def goes_back(self, command: engine.Undo) -> None:
        world, number, index = self.world, command.step, command.script
        step = world.plan.steps[number]
        undo = step.undo or ()
        assert (number, index) not in world.undone, f"undo script {index} of step {number} runs twice"
        ran = {i for s, i in world.undone if s == number}
        skipped = {undo[i].part for i in range(index) if i not in ran}
        assert not skipped or step.paired, "undo scripts run in their order, and none is left out"
        reached = {step.scripts[int(what)].part for s, what in world.effects if s == number and step.kind == "sql"}
        assert not skipped & reached, "the undo of a source that was reached is skipped"
        world.undone.add((number, index))
        world.went_back.append((number, index))
        rest = {undo[i].part for i in range(index + 1, len(undo))}
        for effect in [e for e in world.effects if e[0] == number]:
            whole = not step.paired and not rest
            part = step.paired and step.scripts[int(effect[1])].part not in rest
            if whole or part:
                del world.effects[effect]

    def undo_is_done(self, command: engine.Undo) -> None:
        self.tell(Kind.UNDONE, step=command.step, script=command.script, last=command.last)

    def nothing_is_left(self) -> None:
        left = [e for e in self.world.effects if self.world.plan.steps[e[0]].undo != ()]
        assert not left, f"all is said to be undone, but these are there: {left}"

    def prove(self) -> None:
        self.nothing_is_left()
        if self.choose(("proved", "not proved")) == "proved":
            self.tell(Kind.PROVED, why="nothing differs")
        else:
            self.tell(Kind.NOT_PROVED, why="table a differs")
