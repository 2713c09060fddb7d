"""A run in memory: the real runner and its real actions, on a pretended ledger and a pretended database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from gonogo.core.engine import commands, events
from gonogo.core.engine.decide import decide, next_to_undo
from gonogo.core.engine.events import Event, Kind, PeopleAsked, VoteCast
from gonogo.core.engine.evolve import ROLLBACK, fold
from gonogo.core.engine.marks import script_done, script_not_done
from gonogo.core.engine.state import SWITCH_LEVELS, State, Status
from gonogo.core.model.people import GO, NO_GO, Approve, Item, why_vote_rejected
from gonogo.core.plan.fingerprint import Fingerprint
from gonogo.core.plan.plan import Plan
from gonogo.core.plan.seal import evidence_seal
from gonogo.keys import Keys
from gonogo.run.runner import Runner
from support.events import body as make_body
from support.memory import Choose, Lost, MemoryLedger, MemoryTarget, in_order, proof, quietly
from support.plans import LAUNCHER, START

_TARGET = ("effects", "undone", "went_back", "went_forward", "schema")


@dataclass(kw_only=True)
class World:
    """A run, the events it has recorded, and what is really in its database."""

    plan: Plan
    now: datetime = START
    choose: Choose = in_order
    keys: Keys = field(default_factory=lambda: Keys(file=Path("no/such/keys.json")))
    _performing: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.ledger = MemoryLedger(now=self._tick)
        self.target = MemoryTarget(plan=self.plan, ledger=self.ledger, now_=self.now)
        #: what was in the database as each event was recorded
        self.history: list[dict[str, Any]] = []
        self.ledger.recorded = self._remember
        self.runner = self._new_runner(State())
        self.tell(Kind.RUN_OPENED, plan=self.plan)

    def _new_runner(self, state: State) -> Runner:
        runner = Runner(plan=self.plan, run="example-1", ledger=self.ledger, target=self.target, keys=self.keys, state=state)
        runner.listeners.append(self._see)
        runner.newest = self.events[-1] if self.ledger.rows else None
        self.target.state = lambda: runner.state
        return runner

    def __getattr__(self, name: str) -> Any:
        if name in _TARGET:
            return getattr(self.target, name)
        raise AttributeError(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _TARGET:
            setattr(self.target, name, value)
        elif name == "now" and "target" in vars(self):
            self.target.now_ = value
        super().__setattr__(name, value)

    def _tick(self) -> datetime:
        self.now = self.target.now_ + timedelta(seconds=1)
        return self.now

    @property
    def state(self) -> State:
        return self.runner.state

    @property
    def events(self) -> list[Event]:
        return self.ledger.read()

    def tell(self, kind: Kind, actor: str = "gonogo", **body: Any) -> State:
        """Let somebody, or the run itself, append an event; what is not named is at its default."""
        if kind is Kind.BACKED_UP:
            body = {**dict(proof(self.target.now_)), **body}
        self.ledger.record(make_body(kind, **body), actor)
        if not self._performing:
            self.runner.sync()
        return self.state

    def decide(self) -> commands.Command | None:
        self.now = self.target.now_
        return decide(self.plan, self.state, self.now)

    def once_counted(self) -> commands.Command | None:
        """Return what is next once it was counted that an undo destroys nothing."""
        command = self.decide()
        if isinstance(command, commands.CountLoss):
            self.tell(Kind.LOSS_COUNTED, step=command.step, rows={}, how="measured", whole=True)
            command = self.decide()
        return command

    def launch(self, *, at_once: bool = False, person: str = LAUNCHER) -> None:
        self.tell(Kind.PHASE_STARTED, person, person=person, at_once=at_once)

    # what people do

    @property
    def seal(self) -> str:
        """What people's answers stand for now."""
        return self.seal_of(self.schema)

    def seal_of(self, schema: int) -> str:
        """What people's answers stand for with the schema of a number."""
        return evidence_seal(self.plan, Fingerprint(objects={"table a": str(schema)}))

    def vote(self, person: str, decision: str = GO, *, seal: str | None = None, at: datetime | None = None) -> int:
        """Write down what somebody says at the gate, whether it counts or not; return its number."""
        asked = self.state.gate.asked
        shown = (asked.seal if asked else "") if seal is None else seal
        about: dict[str, Any] = {"on": self.plan.phases[self.state.phase].name, "seal": shown, "asked": asked.seq if asked else 0}
        self.now = self.target.now_ if at is None else at - timedelta(seconds=1)
        self.tell(Kind.VOTE, person, decision=decision, person=person, **about)
        return self.state.seq

    def agree(self, person: str) -> int:
        """Write down that somebody approves a rollback; return its number."""
        self.tell(Kind.VOTE, person, on=ROLLBACK, decision=GO, person=person, seal=self.plan.seal)
        return self.state.seq

    def take_another_way(self, level: str, back_to: int | None = None) -> None:
        """Ask to be rolled back by a level; `back_to` is the phase to whose start."""
        self.tell(Kind.ROLL_BACK, "ben", level=level, back_to=back_to)

    def forget(self, first: int) -> None:
        """Let a phase be as it was before it began."""
        self.target.forget(first)

    def confirm(self, *items: str, person: str = "carla") -> None:
        """Tick some boxes."""
        for item in items:
            self.tell(Kind.CONFIRMED, person, item=item, person=person)

    def refuse(self, seq: int) -> None:
        """Find that a vote, or a tick, is not its person's."""
        self.tell(Kind.VOTE_REFUSED, vote=seq, why="it is not signed with their key")

    @property
    def boxes(self) -> tuple[str, ...]:
        """The boxes that are asked for now and that nobody has ticked."""
        state, asked = self.state, self.state.gate.asked
        items: tuple[Item, ...] = ()
        if state.status is Status.DECIDING:
            items = self.plan.phases[state.phase].before
        elif asked is not None and asked.step is not None:
            if state.status is Status.WORKING and asked.step == state.work.step:
                items = self.plan.steps[asked.step].confirm
            elif state.status is Status.SOAKING and asked.step == len(self.plan.steps):
                items = self.plan.phases[state.phase].after
        return tuple(item.item for item in items if item.item not in state.gate.confirmed)

    def waits_for_people(self) -> bool:
        """Say whether nothing but people's answers lets it go on."""
        return isinstance(self.decide(), commands.Wait) and (self.state.status is Status.DECIDING or bool(self.boxes))

    @property
    def answers(self) -> tuple[int, ...]:
        """The events by which people have said something that counts."""
        gate = self.state.gate
        return (*(vote.seq for vote in (*gate.votes, *self.state.approvals)), *gate.confirmed.values())

    def everybody_agrees(self) -> None:
        """Let everyone who may say go, and tick every box that is asked for."""
        self.confirm(*self.boxes)
        rule = self.plan.phases[self.state.phase].approve
        for person in self.plan.people:
            if rule is not None and self.state.status is Status.DECIDING and not self.rejected(rule, person, GO):
                self.vote(person)

    def rejected(self, rule: Approve, person: str, decision: str) -> str:
        """Say why a vote at the gate would not be taken, as who votes is told."""
        people, gate = self.plan.people, self.state.gate
        return why_vote_rejected(
            rule, people, gate.votes, person, decision, launcher=gate.launcher, needs_proof=False, proved=False
        )

    # what is true of them, from the events alone

    def _bodies(self, of: type[Any]) -> list[tuple[Event, Any]]:
        return [(event, event.body) for event in self.events if isinstance(event.body, of)]

    def said_go(self) -> bool:
        """Say whether enough people said go of what was asked last, in time, none no-go, and every box is ticked."""
        here = self.plan.phases[self.state.phase]
        asked, what = [(event, body) for event, body in self._bodies(PeopleAsked) if body.at_gate][-1]
        votes = [(e, body) for e, body in self._votes() if e.seq > asked.seq and body.on == here.name]
        votes = [(e, body) for e, body in votes if (body.seal, body.asked) == (what.seal, asked.seq)]
        votes = [(e, body) for e, body in votes if what.deadline is None or e.at <= what.deadline]
        measured = self._bodies(events.BaselineMeasured)[-1][1]
        if any(body.decision == NO_GO for _, body in votes) or what.seal != evidence_seal(self.plan, measured.fingerprint):
            return False
        return self.ticked(here.before) and (here.approve is None or self._enough(here.approve, votes))

    def agreed_to_go_back(self) -> bool:
        """Say whether those who must approve a rollback have, lately enough."""
        rule = self.plan.rollback.authority
        votes = [(e, body) for e, body in self._votes() if body.on == ROLLBACK]
        return rule is not None and self._enough(rule, [(e, b) for e, b in votes if self.now - e.at <= rule.within])

    def ticked(self, items: Sequence[Item]) -> bool:
        """Say whether every box of a checklist was ticked since the phase was launched."""
        launched = max(event.seq for event in self.events if event.kind is Kind.PHASE_STARTED)
        newest = {body.item: e.seq for e, body in self._bodies(events.ItemConfirmed) if e.seq > launched}
        return all(newest.get(item.item, 0) not in {0, *self._void()} for item in items)

    def _void(self) -> set[int]:
        return {body.vote for _, body in self._bodies(events.VoteRefused) if body.vote is not None}

    def _votes(self) -> list[tuple[Event, VoteCast]]:
        void = self._void()
        return [(event, body) for event, body in self._bodies(VoteCast) if event.seq not in void]

    def _enough(self, rule: Approve, votes: Sequence[tuple[Event, VoteCast]]) -> bool:
        roles = {body.person: self._names(body.person) & set(rule.roles) for _, body in votes if body.decision == GO}
        able = {person: names for person, names in roles.items() if names}
        each = rule.quorum < len(rule.roles) or set().union(*able.values()) == set(rule.roles)
        return len(able) >= rule.quorum and each

    def _names(self, person: str) -> set[str]:
        return {person, *self.plan.people[person].roles} if person in self.plan.people else set()

    def settle(self) -> bool:
        """Let a person look at the database and say what is true there; return whether there was anything to say."""
        state = self.state
        if state.held and state.rollback.loss.pending:
            self.tell(Kind.RESUME, "ben", accept_loss=True)
            return True
        if state.held and state.work.started is not None:
            number, script = state.work.step, state.work.started
            happened = (number, str(script)) in self.effects
            self.ledger.record((script_done if happened else script_not_done)(self.plan, number, script), "ben")
            self.runner.sync()
        elif state.rollback.failed and state.status is Status.ROLLING_BACK and state.rollback.level == "undo":
            self._settle_undo()
        else:
            return False
        self.tell(Kind.RESUME, "ben")
        return True

    def _settle_undo(self) -> None:
        command = decide(self.plan, replace(self.state, held=""), self.target.now_)
        if isinstance(command, commands.RunUndo):
            happened = (command.step, command.script) in self.undone
            body: dict[str, Any] = {"step": command.step, "script": command.script, "last": command.last}
            self.tell(Kind.UNDONE if happened else Kind.NOT_DONE, **body)
        elif isinstance(command, commands.Record) and command.body.kind is Kind.UNDO_FAILED:
            number = next_to_undo(self.plan, self.state)
            assert number is not None
            for effect in [effect for effect in self.effects if effect[0] == number]:
                del self.effects[effect]
            self.tell(Kind.UNDONE, step=number, script=0, last=True)

    def _remember(self) -> None:
        if self._performing and self.ledger.rows[-1].actor != self.ledger.actor:
            # somebody said something in the middle of a transaction: what that did is not there yet
            self.history.append(self.history[-1])
        else:
            self.history.append({name: copy(getattr(self.target, name)) for name in _TARGET})

    def lose(self, newest: int) -> None:
        """Let the server come back without its newest commits, as a standby does that lagged; all but the first event may go."""
        lost = min(newest, len(self.ledger.rows) - 1)
        if not lost:
            return
        self.ledger.lose(lost)
        del self.history[-lost:]
        for name, value in self.history[-1].items():
            setattr(self.target, name, copy(value))
        left = self.events[-1].body
        if isinstance(left, events.PhaseRollbackProved):
            # what was remembered with it is of just before the phase was as if it had never begun
            self.forget(left.step)
        # nothing is recorded at the very moment of what is lost
        self.target.now_ += timedelta(seconds=1)
        self.runner.sync()

    def refold(self) -> None:
        """Crash: all that is left is the ledger."""
        folded = fold(self.events)
        assert folded == self.state
        self.runner = self._new_runner(folded)
        self.tell(Kind.TAKEN_OVER, epoch=2)

    # what a runner does

    def go_on(
        self,
        choose: Choose | None = None,
        between: Callable[[], None] = quietly,
        *,
        until: Callable[[State], bool] = lambda _: False,
        most: int = 500,
    ) -> int:
        """Perform what is decided until nothing is; return how many commands that took."""
        for number in range(most):
            command = self.decide()
            if command is None or until(self.state):
                return number
            self.carry_out(command, choose, between)
        raise AssertionError(f"the run does not end: {self.state}")

    def carry_out(self, command: commands.Command, choose: Choose | None = None, between: Callable[[], None] = quietly) -> None:
        """Perform one command, as the runner does."""
        assert not self.state.held, "nothing is performed while the run is held"
        self._require_sane(command)
        target, ledger = self.target, self.ledger
        target.command, target.choose, ledger.between = command, choose or self.choose, between
        self._performing = True
        try:
            self.runner.attempt(command)
        except Lost:
            pass
        finally:
            self._performing = False
            target.command, target.choose, ledger.between = None, self.choose, quietly
        self.now = target.now_
        self.runner.sync()

    def _require_sane(self, command: commands.Command) -> None:
        """See that a command makes sense where it is performed."""
        state = self.state
        if isinstance(command, commands.Perform) and not isinstance(command, commands.Resolve):
            assert state.status is Status.WORKING
        if isinstance(command, commands.Verify):
            assert state.work.step == self.plan.phases[state.phase].last + 1, "verified only when every step is done"
        if isinstance(command, commands.RunUndo):
            assert command.last == (command.script == len(self.plan.steps[command.step].undo or ()) - 1)
        if isinstance(command, commands.AskPeople):
            launched = max(event.seq for event in self.events if event.kind is Kind.PHASE_STARTED)
            asked = [body.step for event, body in self._bodies(PeopleAsked) if event.seq > launched]
            assert command.step not in asked, "people are asked once for the same thing"
            assert command.items
        if isinstance(command, commands.BeginRollback):
            assert self.agreed_to_go_back(), "a run is rolled back only as enough people agreed to"
        if isinstance(command, commands.JudgeGate):
            assert state.work.started is None

    def _see(self, before: State, event: Event, after: State) -> None:
        """See that what the run records may be recorded there."""
        if event.actor != self.ledger.actor or not self._performing:
            return
        body, plan = event.body, self.plan
        if isinstance(body, events.Go) and plan.phases[before.phase].asks_people and after.status is Status.WORKING:
            assert self.said_go(), "nothing begins before people have said go of just this"
        if isinstance(body, events.PhaseDone | events.RunDone) and before.status is Status.SOAKING:
            assert self.ticked(plan.phases[before.phase].after), "a phase ends with its checklist"
        if isinstance(body, events.ScriptDone) and plan.steps[body.step].kind == "confirm" and before.status is Status.WORKING:
            assert self.ticked(plan.steps[body.step].confirm), "a step is done when people have confirmed it"
        if isinstance(body, events.AllUndone) and before.rollback.level == "undo":
            self._nothing_is_left(before)
        if isinstance(body, events.RollbackProved) and not isinstance(body, events.RollbackNotProved):
            if before.rollback.level not in SWITCH_LEVELS:
                self._nothing_is_left(before)
            if isinstance(body, events.PhaseRollbackProved):
                assert before.rollback.back_to in before.known.starts, "what a phase began with was measured"
                self.forget(plan.phases[before.rollback.back_to].first)

    def _nothing_is_left(self, state: State) -> None:
        first = self.plan.phases[state.rollback.back_to].first
        left = [e for e in self.effects if e[0] >= first and self.plan.steps[e[0]].undo != ()]
        assert not left, f"all is said to be undone, but these are there: {left}"
