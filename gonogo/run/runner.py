"""The runner of a run: it decides, lets actions perform, and alone appends what they lead to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeAlias

import psycopg

from gonogo.core.engine import decide
from gonogo.core.engine.commands import Command
from gonogo.core.engine.events import Body, Event, Held, LedgerLost, ScriptDone, ScriptStarted, UndoDone, UndoStarted
from gonogo.core.engine.evolve import evolve, fold
from gonogo.core.engine.state import ROLLING_BACK_STATES, State, Status
from gonogo.core.plan.plan import Plan, PlannedPhase
from gonogo.errors import LedgerWentBack, Refused
from gonogo.keys import Keys
from gonogo.ledger import continuity, store
from gonogo.run import said, signatures
from gonogo.run.actions import perform
from gonogo.run.context import Context
from gonogo.run.kept_connection import Overtaken, Stopped
from gonogo.run.ports import Ledger, Target

Listener: TypeAlias = Callable[[State, Event, State], None]
_WATCHED = frozenset({Status.WORKING, Status.VERIFYING, Status.SOAKING})


class RecoverableTarget(Target, Protocol):
    """A target whose connection can be lost and made again."""

    def knows(self, event: Event) -> None:
        """Note the newest event that the loop knows; what is newer happened behind a lost connection."""

    def proceed(self) -> None:
        """Let statements begin again: the loop has heard why they were stopped."""

    def may_have_lost(self) -> bool:
        """Say whether another server took this one's place, or it was put back: else it lost nothing that it had answered for."""

    def recover(self, error: psycopg.Error, known: int) -> list[Event] | None:
        """Come back after a lost connection, and return the events that are newer; None where it was not lost."""

    def describe(self, error: psycopg.Error) -> str:
        """Say what went wrong with a statement."""


class PhaseWatch(Protocol):
    """A watch over a phase."""

    phase: PlannedPhase
    #: why it ended by itself without a trip
    died: str

    def start(self) -> None:
        """Begin to take samples."""

    def stop(self, since: datetime | None = None) -> bool:
        """End it when its last sample is judged; say whether it took one."""


@dataclass(kw_only=True)
class Runner:
    """The one process that works on a run, until it is fenced."""

    plan: Plan
    run: str
    ledger: Ledger
    target: RecoverableTarget
    keys: Keys
    state: State = field(default_factory=State)
    #: why nothing of its plan may act beyond the database, if it may not
    untrusted: str = ""
    #: the newest event up to which a person answered for a run that this project had not signed
    answered: int = 0
    #: hears every event, with the state before and after it
    listeners: list[Listener] = field(default_factory=list)
    #: whether it waits at a gate for as long as people have to decide
    patient: bool = True
    #: lets a moment pass while people decide; Prefect's form listens meanwhile
    listen: Callable[[Runner], None] | None = None
    #: makes the watch of a phase; nothing is watched without it
    watch_for: Callable[[Runner, PlannedPhase], PhaseWatch] | None = None
    #: the go, the approval, the accepted loss and the backup after the change that were seen to be signed
    _trusted: tuple[int, int, int, bool] = (-1, -1, -1, False)
    _watch: PhaseWatch | None = None
    #: the newest event that it knows
    newest: Event | None = None
    #: the events by which something acted beyond the database, each with its step and the event by which that attempt began
    beyond: dict[continuity.Mark, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.use_plan(self.plan)

    def use_plan(self, plan: Plan) -> None:
        """Work by another form of the plan, as a rehearsal does on a copy."""
        self.plan = plan
        self.context = Context(
            plan=plan,
            run=self.run,
            ledger=self.ledger,
            target=self.target,
            keys=self.keys,
            untrusted=self.untrusted,
            answered=self.answered,
            current=lambda: self.state,
            sync=self.sync,
            is_next=lambda command: self.next() == command,
            listen=self._listen,
            end_watch=self._end_watch_of_phase,
        )

    # events

    def sync(self) -> None:
        """Take in what others have recorded; where the ledger went back, fold it anew."""
        try:
            newer = self.ledger.read() if self.newest is None else self.ledger.newer(self.newest)
        except LedgerWentBack as error:
            self.fold_anew(str(error), self.state.seq)
            return
        for event in newer:
            # nobody but this process may record what a runner does; what it cannot hold any more it does not go along with
            if why := signatures.why_foreign(self.ledger, self.run, self.plan, self.keys, event, self.answered):
                raise Refused(f"{why}. See `gonogo ledger verify`, and who may write to the schema gonogo of the target")
            self.take_in(event)

    def take_in(self, event: Event) -> None:
        """Fold one event, and tell the listeners.

        Raises:
            Refused: it speaks of what the plan does not have.
        """
        store.require_of_plan(self.plan, [event])
        before, self.state = self.state, evolve(self.state, event)
        self.newest = event
        self.target.knows(event)
        self._note_beyond(event)
        for listener in self.listeners:
            listener(before, event, self.state)

    def append(self, body: Body) -> None:
        """Record an event and take it in; where the ledger went back, fold anew instead: something else may be next then."""
        own = signatures.sign_own(self.run, self.plan, self.keys, body, follows=self.state.seq)
        try:
            self._apply_own(self.ledger.append(own))
        except LedgerWentBack as error:
            self.fold_anew(str(error), self.state.seq)

    def fold_anew(self, why: str, known: int) -> None:
        """Go on from what the ledger holds, where it lacks what was recorded in it; what acted beyond it is in doubt.

        What changed the database itself went back together with the ledger.

        Args:
            why: what shows it.
            known: the number of the newest event that was recorded.

        Raises:
            Refused: the server is the same and was not put back, so it lost nothing: somebody removed events.
        """
        self.end_watch()
        there = self.ledger.read()
        if not self.target.may_have_lost():
            raise Refused(
                f"{why}. The server is the same and was not put back, so it has lost nothing: somebody removed events from the"
                " ledger, and what they say was done is still there. See `gonogo ledger verify`. Where you know that the whole"
                f" database was put back to an earlier moment, remove .gonogo/heads/{self.run}.json and go on"
            )
        kept = {continuity.mark(event) for event in there}
        beyond = {step: attempt for mark, (step, attempt) in self.beyond.items() if mark not in kept}
        self.state = fold(there)
        self.newest = there[-1]
        self.target.knows(there[-1])
        self.beyond = {mark: what for mark, what in self.beyond.items() if mark in kept}
        self.append(LedgerLost(known=known, head=there[-1].seq, beyond=tuple(sorted(beyond.items())), why=why))

    def _note_beyond(self, event: Event) -> None:
        """Remember which events say that something acted beyond the database: it stays done when they are lost."""
        body = event.body
        if not isinstance(body, ScriptStarted | ScriptDone | UndoStarted | UndoDone) or body.step >= len(self.plan.steps):
            return
        if self.plan.steps[body.step].row.external:
            self.beyond[continuity.mark(event)] = (body.step, self.state.work.attempt)

    def _apply_own(self, event: Event) -> None:
        """Take in an event of our own; where its number shows that others came before it, theirs first."""
        if event.seq == self.state.seq + 1:
            self.take_in(event)
        elif event.seq > self.state.seq:
            self.sync()

    # what is next

    def next(self) -> Command | None:
        """Return the next command; start or stop the watch to match where the run stands."""
        if self._holds_forged():
            return None
        self._start_or_stop_watch()
        return decide.decide(self.plan, self.state, self.target.now())

    def attempt(self, command: Command) -> None:
        """Perform a command, through a lost connection or a watch that tripped meanwhile."""
        try:
            self._perform(command)
        except LedgerWentBack as error:
            self.fold_anew(str(error), self.state.seq)
        except psycopg.Error as error:
            newer = self.target.recover(error, self.state.seq)
            if newer is not None:
                for event in newer:
                    self.take_in(event)
                return
            store.raise_if_fenced(error)
            # nothing of this kind is expected; whatever it is, a person should see it before anything else happens
            self.append(Held(why=f"{self.stage_of(command)}: {self.target.describe(error)}"))

    def _perform(self, command: Command) -> None:
        """Perform a command, and take in what stopped it; the connection may be lost in either."""
        try:
            for outcome in perform(self.context, command):
                if isinstance(outcome, Event):
                    self._apply_own(outcome)
                else:
                    self.append(outcome)
        except Stopped:
            # the watch recorded why before it cancelled the statement
            self.sync()
            self.target.proceed()
        except Overtaken:
            self.sync()

    def stage_of(self, command: Command) -> str:
        """Name the stretch of work that a command belongs to."""
        return command.stage(self.plan, self.state)

    def _listen(self) -> None:
        if self.listen is not None:
            self.listen(self)

    def _holds_forged(self) -> bool:
        """Hold a run on a protected target if its go, or its rollback approval, is not validly signed."""
        state = self.state
        loss = state.rollback.loss
        accepted = loss.accepted_at if loss.accepted else 0
        rests_on = (state.gate.go_seq, state.rollback.seq, accepted, state.known.backed_up_after)
        if not self.plan.protected or rests_on == self._trusted or state.at_rest:
            return False
        why = ""
        if state.status in _WATCHED:
            why = said.why_go_invalid(self.ledger, self.run, self.plan, self.keys, state, self.answered)
        elif state.status in ROLLING_BACK_STATES:
            why = said.why_approval_invalid(self.ledger, self.run, self.plan, self.keys, state)
            why = why or said.why_acceptance_invalid(self.ledger, self.run, self.plan, self.keys, state)
            if state.rollback.level == "restore":
                why = why or signatures.why_evidence_invalid(self.ledger, self.run, self.plan, self.keys, state, self.answered)
        if why:
            self.append(Held(why=why))
        else:
            self._trusted = rests_on
        return bool(why)

    # the watch

    def _start_or_stop_watch(self) -> None:
        phase = self.plan.phases[min(self.state.phase, len(self.plan.phases) - 1)]
        wanted = self.state.status in _WATCHED and not self.state.held and bool(phase.watch)
        if not wanted:
            self.end_watch()
        elif self._watch is None:
            if self.watch_for is not None:
                self._watch = self.watch_for(self, phase)
                self._watch.start()
        elif self._watch.died:
            why = f"the watch ended: {self._watch.died}"
            self._watch = None
            self.append(Held(why=why))

    def end_watch(self, since: datetime | None = None) -> bool:
        """Stop watching, and wait until the watch has ended; say whether its last sample was judged.

        Args:
            since: its last sample begins after this moment.
        """
        watch, self._watch = self._watch, None
        return watch.stop(since) if watch is not None else True

    def _end_watch_of_phase(self) -> str:
        """End the watch when its last sample is judged; say why nothing can be said of it, or nothing."""
        watch = self._watch
        well = self.end_watch(self.state.soak_from)
        self.sync()
        if watch is None or well:
            return ""
        return f"the watch of {watch.phase.name} saw nothing: {watch.died or 'its last sample could not be judged'}"
