"""Small plans, made by hand, and a pretended database to run them on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from gonogo.core.engine import decide as engine
from gonogo.core.engine.events import Event, Kind
from gonogo.core.engine.evolve import ROLLBACK, evolve, fold
from gonogo.core.engine.state import SWITCH_LEVELS, State, Status
from gonogo.core.model.check import Check
from gonogo.core.model.people import GO, NO_GO, Approve, Item, Person, why_vote_rejected
from gonogo.core.model.rollback import Backup, Rehearsal, Rollback
from gonogo.core.model.runbook import SqlSettings, Updates
from gonogo.core.model.schedule import Budgets
from gonogo.core.plan.plan import Plan, PlannedPhase, PlannedStep, PlannedTask, Script

START = datetime(2025, 10, 12, 16, 53, tzinfo=UTC)
NOTHING = timedelta(0)
#: who there is, unless a test says otherwise: ben holds two roles, emil none
PEOPLE: Mapping[str, Person] = {
    "anna": Person(name="Anna", roles=("lead",)),
    "ben": Person(name="Ben", roles=("lead", "dba")),
    "carla": Person(name="Carla", roles=("dba",)),
    "dora": Person(name="Dora", roles=("ops",)),
    "emil": Person(name="Emil"),
}
LAUNCHER = "anna"


def script(part: int = 0, *, alone: bool = False) -> Script:
    act = {"act": "create index", "object": '"i"'} if alone else {}
    return Script(source=f"{part:03}.sql", sha256=f"{part:064x}", part=part, transactional=not alone, **act)


@dataclass(frozen=True, kw_only=True)
class AStep:
    kind: str = "sql"
    scripts: tuple[Script, ...] = ()
    undo: tuple[Script, ...] | None = ()
    paired: bool = False
    boxes: tuple[str, ...] = ()
    destroys: tuple[str, ...] = ()


def sql(
    *scripts: Script, undo: Sequence[Script] | None = (script(),), paired: bool = False, count: int = 1, alone: bool = False
) -> AStep:
    forward = scripts or tuple(script(alone=alone) for _ in range(count))
    return AStep(scripts=forward, undo=None if undo is None else tuple(undo), paired=paired)


def backfill(undo: Sequence[Script] | None = (script(),)) -> AStep:
    return AStep(kind="backfill", scripts=(script(),), undo=None if undo is None else tuple(undo))


def check() -> AStep:
    return AStep(kind="check")


def confirm(*boxes: str) -> AStep:
    return AStep(kind="confirm", boxes=boxes)


def approve(*roles: str, quorum: int = 1, within: timedelta = timedelta(hours=2), not_launcher: bool = False) -> Approve:
    return Approve(roles=roles, quorum=quorum, within=within, not_launcher=not_launcher)


@dataclass(frozen=True, kw_only=True)
class ATask:
    steps: tuple[AStep, ...] = ()
    at: timedelta | None = None
    takes: timedelta | None = None
    owner: str = ""
    downtime: bool = False


def task(
    *steps: AStep, at: timedelta | None = None, takes: timedelta | None = None, owner: str = "", downtime: bool = False
) -> ATask:
    return ATask(steps=steps, at=at, takes=takes, owner=owner, downtime=downtime)


@dataclass(frozen=True, kw_only=True)
class APhase:
    tasks: tuple[ATask, ...] = ()
    soak: timedelta = NOTHING
    on_failure: str = "roll back"
    approve: Approve | None = None
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def phase(
    *tasks: ATask,
    soak: timedelta = NOTHING,
    on_failure: str = "roll back",
    approve: Approve | None = None,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
) -> APhase:
    return APhase(tasks=tasks, soak=soak, on_failure=on_failure, approve=approve, before=tuple(before), after=tuple(after))


class _Boxes:
    """Make the boxes of checklists; one that is there already gets a number, as a runbook has each of them once."""

    def __init__(self) -> None:
        self.there: set[str] = set()

    def make(self, names: Sequence[str]) -> tuple[Item, ...]:
        """Return the boxes of one checklist: `backup`, or `backup:dba` with its owner."""
        made = []
        for text in names:
            name, _, owner = text.partition(":")
            number = next(n for n in range(1, 1000) if (f"{name}-{n}" if n > 1 else name) not in self.there)
            item = Item(item=f"{name}-{number}" if number > 1 else name, owner=owner)
            self.there.add(item.item)
            made.append(item)
        return tuple(made)


def plan(
    *phases: APhase,
    blockers: tuple[str, ...] = (),
    checks: Mapping[str, Check] | None = None,
    people: Mapping[str, Person] = PEOPLE,
    authority: Approve | None = None,
    backup: Backup | None = None,
    rehearsal: Rehearsal | None = None,
    rollback: Rollback | None = None,
    end_by: datetime | None = None,
    budgets: Budgets | None = None,
) -> Plan:
    """Number the parts and put them on the clock, as planning does."""
    boxes = _Boxes()
    steps: list[PlannedStep] = []
    tasks: list[PlannedTask] = []
    planned: list[PlannedPhase] = []
    moment = START
    for p, a_phase in enumerate(phases):
        phase_first, begins, before = len(steps), moment, boxes.make(a_phase.before)
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
                        confirm=boxes.make(a_step.boxes),
                        destroys=a_step.destroys,
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
                    downtime=a_task.downtime,
                    start=start,
                    end=moment,
                )
            )
        planned.append(
            PlannedPhase(
                name=f"phase-{p}",
                title=f"Phase {p}",
                before=before,
                approve=a_phase.approve,
                after=boxes.make(a_phase.after),
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
        backup=backup,
        rehearsal=rehearsal,
        end_by=end_by,
        budgets=budgets or Budgets(),
        checks=checks or {},
        people=people,
        phases=tuple(planned),
        tasks=tuple(tasks),
        steps=tuple(steps),
        rollback=(rollback or Rollback()).model_copy(update={"authority": authority}),
        switches={"feature": (script(),), "data": (script(), script())},
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
    #: what its schema looks like: people's answers stand for this one only
    schema: int = 0

    def __post_init__(self) -> None:
        self.tell(Kind.RUN_OPENED, plan={"rollback": self.plan.rollback.model_dump(mode="json")})

    def tell(self, kind: Kind, actor: str = "gonogo", **body: Any) -> State:
        self.now += timedelta(seconds=1)
        event = Event(seq=len(self.events) + 1, kind=kind, at=self.now, began=self.now, actor=actor, body=body)
        self.events.append(event)
        self.state = evolve(self.state, event)
        return self.state

    def decide(self) -> engine.Command | None:
        return engine.decide(self.plan, self.state, self.now)

    def launch(self, *, at_once: bool = False, person: str = LAUNCHER) -> None:
        self.tell(Kind.PHASE_STARTED, person, person=person, **({"at_once": True} if at_once else {}))

    # what people do

    @property
    def seal(self) -> str:
        """What people's answers stand for now."""
        return f"schema {self.schema}"

    def vote(self, person: str, decision: str = GO, *, seal: str | None = None, at: datetime | None = None) -> int:
        """Write down what somebody says at the gate, whether it counts or not; return its number."""
        asked = self.state.asked
        body = {"on": self.plan.phases[self.state.phase].name, "decision": decision, "person": person, "proved": False}
        about = {"seal": (asked.seal if asked else "") if seal is None else seal, "asked": asked.seq if asked else 0}
        self.now = self.now if at is None else at - timedelta(seconds=1)
        self.tell(Kind.VOTE, person, **body, **about)
        return self.state.seq

    def agree(self, person: str) -> int:
        """Write down that somebody agrees to a rollback; return its number."""
        body = {"on": ROLLBACK, "decision": GO, "person": person, "proved": False, "seal": self.plan.seal}
        self.tell(Kind.VOTE, person, **body)
        return self.state.seq

    def take_another_way(self, level: str, **far: int) -> None:
        """Ask to be turned back by a way; `back_to` is the phase to whose start."""
        self.tell(Kind.ROLL_BACK, "ben", level=level, **far)

    def forget(self, first: int) -> None:
        """Let a phase be as it was before it began: what has no undo may be done again."""
        self.effects = {effect: when for effect, when in self.effects.items() if effect[0] < first}
        self.undone = {(step, script) for step, script in self.undone if step < first}

    def confirm(self, *items: str, person: str = "carla") -> None:
        """Tick some boxes."""
        for item in items:
            self.tell(Kind.CONFIRMED, person, item=item, person=person, evidence="", proved=False)

    def refuse(self, fact: int) -> None:
        """Find that a vote, or a tick, is not its person's."""
        self.tell(Kind.VOTE_REFUSED, vote=fact, why="it is not signed with their key")

    @property
    def boxes(self) -> tuple[str, ...]:
        """The boxes that are asked for now and that nobody has ticked."""
        state = self.state
        items: tuple[Item, ...] = ()
        if state.status is Status.DECIDING:
            items = self.plan.phases[state.phase].before
        elif state.asked is not None and state.asked.step is not None:
            step = state.asked.step
            if state.status is Status.WORKING and step == state.step:
                items = self.plan.steps[step].confirm
            elif state.status is Status.SOAKING and step == len(self.plan.steps):
                items = self.plan.phases[state.phase].after
        return tuple(item.item for item in items if item.item not in state.confirmed)

    def waits_for_people(self) -> bool:
        """Say whether nothing but people's answers lets it go on."""
        return isinstance(self.decide(), engine.Wait) and (self.state.status is Status.DECIDING or bool(self.boxes))

    @property
    def answers(self) -> tuple[int, ...]:
        """The facts by which people have said something that counts."""
        return (*(vote.seq for vote in (*self.state.votes, *self.state.back)), *self.state.confirmed.values())

    def everybody_agrees(self) -> None:
        """Let everyone who may say go, and tick every box that is asked for."""
        self.confirm(*self.boxes)
        rule = self.plan.phases[self.state.phase].approve
        for person in self.plan.people:
            if rule is not None and self.state.status is Status.DECIDING and not self.why_vote_rejected(rule, person, GO):
                self.vote(person)

    def why_vote_rejected(self, rule: Approve, person: str, decision: str) -> str:
        """Say why a vote at the gate would not be taken, as who votes is told."""
        people, votes, launcher = self.plan.people, self.state.votes, self.state.launcher
        return why_vote_rejected(rule, people, votes, person, decision, launcher=launcher, needs_proof=False, proved=False)

    # what is true of them, from the facts alone

    def said_go(self) -> bool:
        """Say whether enough people said go of what was asked last, in time, none no-go, and every box is ticked."""
        here = self.plan.phases[self.state.phase]
        asked = [event for event in self.events if event.kind is Kind.ASKED and "seal" in event.body][-1]
        votes = [e for e in self._votes() if e.seq > asked.seq and e.body["on"] == here.name]
        deadline = datetime.fromisoformat(asked.body["deadline"]) if "deadline" in asked.body else None
        votes = [e for e in votes if (e.body["seal"], e.body["asked"]) == (asked.body["seal"], asked.seq)]
        votes = [e for e in votes if deadline is None or e.at <= deadline]
        if any(e.body["decision"] == NO_GO for e in votes) or asked.body["seal"] != self.seal:
            return False
        return self.ticked(here.before) and (here.approve is None or self._enough(here.approve, votes))

    def agreed_to_go_back(self) -> bool:
        """Say whether those who must agree to a rollback have, lately enough."""
        rule = self.plan.rollback.authority
        votes = [e for e in self._votes() if e.body["on"] == ROLLBACK]
        return rule is not None and self._enough(rule, [e for e in votes if self.now - e.at <= rule.within])

    def ticked(self, items: Sequence[Item]) -> bool:
        """Say whether every box of a checklist was ticked since the phase was launched."""
        launched = max(event.seq for event in self.events if event.kind is Kind.PHASE_STARTED)
        newest = {e.body["item"]: e.seq for e in self.events if e.kind is Kind.CONFIRMED and e.seq > launched}
        return all(newest.get(item.item, 0) not in {0, *self._void()} for item in items)

    def _void(self) -> set[int]:
        return {int(e.body["vote"]) for e in self.events if e.kind is Kind.VOTE_REFUSED and "vote" in e.body}

    def _votes(self) -> list[Event]:
        void = self._void()
        return [event for event in self.events if event.kind is Kind.VOTE and event.seq not in void]

    def _enough(self, rule: Approve, votes: Sequence[Event]) -> bool:
        roles = {e.body["person"]: self._names(e.body["person"]) & set(rule.roles) for e in votes if e.body["decision"] == GO}
        able = {person: names for person, names in roles.items() if names}
        each = rule.quorum < len(rule.roles) or set().union(*able.values()) == set(rule.roles)
        return len(able) >= rule.quorum and each

    def _names(self, person: str) -> set[str]:
        return {person, *self.plan.people[person].roles} if person in self.plan.people else set()

    def settle(self) -> bool:
        """Let a person look at the database and say what is true there; return whether there was anything to say."""
        state = self.state
        if state.held and "would destroy" in state.held:
            self.tell(Kind.RESUME, "ben", accept_loss=True)
            return True
        if state.held and state.started is not None:
            step, number = self.plan.steps[state.step], state.started
            body = {"step": state.step, "script": number, "last": number == len(step.scripts) - 1}
            self.tell(Kind.DONE if (state.step, str(number)) in self.effects else Kind.NOT_DONE, **body)
        elif state.rollback_failed and state.status is Status.ROLLING_BACK and state.level == "undo":
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
            number = engine.next_to_undo(self.plan, self.state)
            assert number is not None
            for effect in [effect for effect in self.effects if effect[0] == number]:
                del self.effects[effect]
            self.tell(Kind.UNDONE, step=number, script=0, last=True)

    def refold(self) -> None:
        """Crash: all that is left is the ledger."""
        folded = fold(self.events)
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
        _HOW[type(command)](self, command)

    def measure(self, _: engine.MeasureBaseline) -> None:
        self.tell(Kind.BASELINE, measurements={"rows": 1}, schema={"table a": "1"})

    def wait(self, command: engine.Wait) -> None:
        assert command.until > self.world.now
        assert command.why
        rest = command.until - self.world.now
        self.world.now += rest if self.choose(("all of it", "a part")) == "all of it" else rest / 2

    def record(self, command: engine.Record) -> None:
        if command.kind is Kind.ALL_UNDONE and self.world.state.level == "undo":
            self.nothing_is_left()
        if command.kind in (Kind.PHASE_DONE, Kind.RUN_DONE):
            assert self.world.ticked(self.world.plan.phases[self.world.state.phase].after), "a phase ends with its checklist"
        self.tell(command.kind, **({"why": command.why} if command.why else {}))

    def ask(self, command: engine.Ask) -> None:
        launched = max(event.seq for event in self.world.events if event.kind is Kind.PHASE_STARTED)
        asked = [event.body.get("step") for event in self.world.events if event.kind is Kind.ASKED and event.seq > launched]
        assert command.step not in asked, "people are asked once for the same thing"
        assert command.items
        self.tell(Kind.ASKED, items=list(command.items), step=command.step)

    def begin_rollback(self, _: engine.BeginRollback) -> None:
        assert self.world.agreed_to_go_back(), "a run is turned back only as enough people agreed to"
        self.tell(Kind.ROLL_BACK, why="as agreed", agreed=[vote.person for vote in self.world.state.back])

    def look_up_rehearsal(self, _: engine.LookUpRehearsal) -> None:
        if self.choose(("good", "there is none")) == "good":
            levels = {level: {"took": 60, "verdict": "restores exactly"} for level in self.world.plan.rollback.levels}
            self.tell(Kind.REHEARSAL_FOUND, at=self.world.now.isoformat(), on="a copy", levels=levels)
        else:
            self.tell(Kind.REHEARSAL_FOUND, why="there is none")

    def take_backup(self, _: engine.TakeBackup) -> None:
        if self.world.state.status is Status.SOAKING:
            outcome = self.choose(("proved", "not proved"))
            self.tell(Kind.BACKED_UP if outcome == "proved" else Kind.HELD, why="backup: the disk is full", tables=1)
            return
        first = self.world.plan.phases[self.world.state.phase].first
        assert not [e for e in self.world.effects if e[0] >= first], "a backup is of what was there before its phase"
        if self.choose(("proved", "not proved")) == "proved":
            self.tell(Kind.BACKED_UP, tables=1)
        else:
            self.tell(Kind.NO_GO, why="backup: the disk is full")

    def gate(self, _: engine.JudgeGate) -> None:
        world, state = self.world, self.world.state
        assert state.started is None
        here = world.plan.phases[state.phase]
        if against := [vote for vote in state.votes if vote.decision == NO_GO]:
            self.tell(Kind.NO_GO, why=f"{against[0].person} says no-go: no reason given")
            return
        if state.status is Status.DECIDING and not state.changed:
            self.world.tell(Kind.BASELINE, measurements={"rows": 1}, schema={"table a": "1"})
        if self.choose(("go", "no-go")) == "no-go":
            self.tell(Kind.NO_GO, why="c: 1 is not = 0 (fail)")
        elif here.asks_people and (state.status is Status.GATING or (state.asked and state.asked.seal != world.seal)):
            self.ask_at_the_gate(here.approve)
        else:
            assert not here.asks_people or world.said_go(), "nothing begins before people have said go of just this"
            self.tell(Kind.GO)

    def ask_at_the_gate(self, rule: Approve | None) -> None:
        asked = self.world.state.asked if self.world.state.status is Status.DECIDING else None
        body: dict[str, Any] = {"seal": self.world.seal}
        if asked is not None:
            body["why"] = "the schema has changed since people were asked: table a"
        if rule is not None:
            body["deadline"] = (asked.deadline if asked and asked.deadline else self.world.now + rule.within).isoformat()
        self.tell(Kind.ASKED, **body)

    # forward

    def perform(self, command: engine.Perform) -> None:
        number, index = command.step, command.script
        step = self.world.plan.steps[number]
        assert self.world.state.status is Status.WORKING
        if step.kind == "confirm":
            assert self.world.ticked(step.confirm), "a step is done when people have confirmed it"
            self.done(number, 0)
        elif step.kind == "check":
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

    def resolve(self, command: engine.Resolve) -> None:
        number, index = command.step, command.script
        step = self.world.plan.steps[number]
        assert not step.scripts[index].transactional, "a transactional script is never in doubt"
        if self.choose(("known", "unknown")) == "unknown":
            self.tell(Kind.HELD, why=f"{step.name} is in doubt")
        elif (number, str(index)) in self.world.effects:
            self.done(number, index)
        else:
            self.tell(Kind.NOT_DONE, step=number, script=index)

    def verify(self, _: engine.Verify) -> None:
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

    def count_loss(self, command: engine.CountLoss) -> None:
        rows = {"t": 0 if self.choose(("nothing", "rows")) == "nothing" else 3}
        self.tell(Kind.LOSS_COUNTED, step=command.step, rows=rows, how="by the step's journal")
        if self.world.state.loss_counted != command.step:
            self.tell(Kind.HELD, why="undoing it would destroy rows that were written since: 3 of t")

    def switch(self, command: engine.Switch) -> None:
        if self.choose(("done", "failed")) == "done":
            self.tell(Kind.SWITCHED, level=command.level, script=command.script)
        else:
            self.tell(Kind.UNDO_FAILED, why=f"rollback.{command.level}: no")

    def restore(self, _: engine.Restore) -> None:
        assert self.world.state.backup, "only what was proved is restored"
        if self.choose(("done", "failed")) == "done":
            first = self.world.plan.phases[self.world.state.back_to].first
            self.world.forget(first)
            self.tell(Kind.RESTORED, how="side by side", step=first)
        else:
            self.tell(Kind.UNDO_FAILED, why="restore: no")

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
        plan, first = self.world.plan, self.world.plan.phases[self.world.state.back_to].first
        left = [e for e in self.world.effects if e[0] >= first and plan.steps[e[0]].undo != ()]
        assert not left, f"all is said to be undone, but these are there: {left}"

    def prove(self, _: engine.Prove) -> None:
        if self.world.state.level not in SWITCH_LEVELS:
            self.nothing_is_left()
        state = self.world.state
        first = self.world.plan.phases[state.back_to].first
        if self.choose(("proved", "not proved")) == "proved":
            if state.back_to and state.changed:
                assert "schema" in state.start, "what a phase began with was measured"
                self.world.forget(first)
            kind = Kind.PHASE_PROVED if state.back_to and state.changed else Kind.PROVED
            self.tell(kind, why="nothing differs", step=first)
        else:
            self.tell(Kind.NOT_PROVED, why="table a differs")


_HOW: Mapping[type, Callable[[_Hands, Any], None]] = {
    engine.MeasureBaseline: _Hands.measure,
    engine.JudgeGate: _Hands.gate,
    engine.TakeBackup: _Hands.take_backup,
    engine.Wait: _Hands.wait,
    engine.Perform: _Hands.perform,
    engine.Resolve: _Hands.resolve,
    engine.Verify: _Hands.verify,
    engine.Undo: _Hands.undo,
    engine.Prove: _Hands.prove,
    engine.Record: _Hands.record,
    engine.Ask: _Hands.ask,
    engine.BeginRollback: _Hands.begin_rollback,
    engine.LookUpRehearsal: _Hands.look_up_rehearsal,
    engine.CountLoss: _Hands.count_loss,
    engine.Switch: _Hands.switch,
    engine.Restore: _Hands.restore,
}
