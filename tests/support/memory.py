"""A ledger and a target in memory. The ledger passes the same suite as the real one (tests/integration/test_ledgers.py)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import psycopg

from gonogo.core.engine.commands import Command, Perform, ProveRollback, Resolve, RunUndo, Wait
from gonogo.core.engine.events import (
    BackupProved,
    BackupRestored,
    BatchDone,
    Body,
    Event,
    Kind,
    Rehearsed,
    ScriptDone,
    StepLoss,
    SwitchDone,
    UndoBatchDone,
    UndoDone,
    read_body,
    write_body,
)
from gonogo.core.engine.state import State, Status
from gonogo.core.engine.verdict import Measurement
from gonogo.core.model.check_kinds import Http, Program
from gonogo.core.plan.fingerprint import FORM, Fingerprint
from gonogo.core.plan.plan import Plan, PlannedStep, Script
from gonogo.errors import Fenced, LedgerWentBack, Refused, RestoreFailed, RowsWritten, ScriptFailed
from gonogo.keys import Keys
from gonogo.recovery.manifest import BackupFailed
from gonogo.run.beside import NotLooking
from support.plans import START

Choose = Callable[[Sequence[str]], str]


class Lost(Exception):
    """The process dies here: whatever happened, nothing more is recorded."""


def in_order(options: Sequence[str]) -> str:
    """Choose what is benign: it stands first."""
    return options[0]


def a_check_fails(options: Sequence[str]) -> str:
    """Let every check fail, and all else be benign."""
    return "fail" if options[0] == "pass" else options[0]


def quietly() -> None:
    """Let nobody come between a decision and its event."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """An event as a ledger holds it: its body as JSON data, and the hash of it and all before it."""

    seq: int
    kind: Kind
    at: datetime
    actor: str
    data: dict[str, Any]
    hash: str

    @cached_property
    def event(self) -> Event:
        """The event as it is read; once, since a row never changes."""
        return Event(seq=self.seq, at=self.at, began=self.at, actor=self.actor, body=read_body(self.kind, self.data))


def _chained(before: str, text: str) -> str:
    return hashlib.sha256((before + text).encode()).hexdigest()


@dataclass(kw_only=True)
class MemoryLedger:
    """The ledger of one run, in memory."""

    actor: str = "gonogo"
    rows: list[Row] = field(default_factory=list)
    rehearsals: list[Row] = field(default_factory=list)
    others: list[tuple[datetime, str]] = field(default_factory=list)
    now: Callable[[], datetime] = lambda: START
    #: another runner took over
    fenced: bool = False
    #: the newest event that the runner knows
    known: Event | None = None
    #: hears that an event was recorded
    recorded: Callable[[], None] = quietly
    #: somebody may say something just before an event is recorded
    between: Callable[[], None] = quietly

    def record(self, body: Body, actor: str) -> Event:
        """Append an event, as anybody may at any time."""
        # as JSON text holds it, so that what is read is what was written
        text = json.dumps(write_body(body))
        before = self.rows[-1].hash if self.rows else ""
        row = Row(
            seq=len(self.rows) + 1,
            kind=body.kind,
            at=self.now(),
            actor=actor,
            data=json.loads(text),
            hash=_chained(before, text),
        )
        self.rows.append(row)
        self.recorded()
        return row.event

    def append(self, body: Body) -> Event:
        """Append an event as the run's runner."""
        if self.fenced:
            raise Fenced("another runner took this run over; this one stops, and has changed nothing since")
        self.between()
        if self.known is not None:
            self._require(self.known)
        return self.record(body, self.actor)

    def lose(self, newest: int) -> None:
        """Come back without the newest events, as a standby does that lagged."""
        del self.rows[len(self.rows) - newest :]

    def read(self, after: int = 0) -> list[Event]:
        """Return the events after a number, in order."""
        return [row.event for row in self.rows if row.seq > after]

    def newer(self, than: Event) -> list[Event]:
        """Return the events after one that is known."""
        self._require(than)
        return self.read(than.seq)

    def _require(self, known: Event) -> None:
        there = self.rows[known.seq - 1] if known.seq <= len(self.rows) else None
        if there is None or (there.seq, there.at) != (known.seq, known.at):
            raise LedgerWentBack(f"the ledger lacks event {known.seq} of this run, which its runner recorded")

    def event(self, seq: int) -> Event:
        """Return one event."""
        return self._row(seq).event

    def data(self, seq: int) -> dict[str, Any]:
        """Return the body of an event just as it lies in the ledger."""
        return dict(self._row(seq).data)

    def _row(self, seq: int) -> Row:
        found = next((row for row in self.rows if row.seq == seq), None)
        if found is None:
            raise Refused(f"the run has no event {seq}")
        return found

    def problems(self) -> list[str]:
        """Return what is wrong with the chain of events."""
        found, before = [], ""
        for number, row in enumerate(self.rows, 1):
            if row.seq != number:
                found.append(f"the ledger: event {number} is missing: the next one is {row.seq}")
            if row.hash != _chained(before, json.dumps(row.data)):
                found.append(f"the ledger: event {row.seq} ({row.kind}, by {row.actor}) was changed after it was recorded")
            before = row.hash
        return found

    def newest_rehearsal(self) -> tuple[int, Rehearsed, Mapping[str, Any]] | None:
        """Return the newest rehearsal of the runbook."""
        if not self.rehearsals:
            return None
        row = self.rehearsals[-1]
        body = read_body(row.kind, row.data)
        assert isinstance(body, Rehearsed)
        return row.seq, body, row.data

    def later_runs(self, since: datetime) -> list[str]:
        """Return the other runs that changed the target since a moment."""
        return sorted({run for at, run in self.others if at > since})


@dataclass(kw_only=True)
class MemoryTarget:
    """A pretended database: what is in it, and what goes wrong with it, as a test chooses."""

    plan: Plan
    ledger: MemoryLedger
    now_: datetime = START
    choose: Choose = in_order
    #: what the runner performs
    command: Command | None = None
    state: Callable[[], State] = State
    #: what is in the database: (step, script or batch)
    effects: dict[tuple[int, str], int] = field(default_factory=dict)
    #: undo scripts of the step that is being undone which have really happened
    undone: set[tuple[int, int]] = field(default_factory=set)
    #: the undo scripts in the order they ran, and the scripts
    went_back: list[tuple[int, int]] = field(default_factory=list)
    went_forward: list[tuple[int, str]] = field(default_factory=list)
    #: what its schema looks like
    schema: int = 0
    said: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)

    def now(self) -> datetime:
        return self.now_

    def wait(self, seconds: float) -> None:
        """Let the whole time pass that the run waits for, or a part of it."""
        del seconds
        assert isinstance(self.command, Wait)
        assert self.command.until > self.now_
        assert self.command.why
        rest = self.command.until - self.now_
        self.now_ += rest if self.choose(("all of it", "a part")) == "all of it" else rest / 2

    # forward

    def run_script(self, step: PlannedStep, script: Script, body: Body, *, guard: str = "") -> Event:
        del script, guard
        outcome = self.choose(("done", "failed", "lost"))
        if outcome == "failed":
            raise ScriptFailed("no")
        if outcome == "lost":
            raise Lost
        if isinstance(body, UndoDone):
            self._goes_back(body.step, body.script)
        else:
            assert isinstance(body, ScriptDone), step.name
            self._happens(body.step, str(body.script))
        return self.ledger.append(body)

    def prepare_alone(self, script: Script) -> None:
        assert not script.transactional

    def warnings(self) -> tuple[str, ...]:
        return ()

    def run_alone(self, step: PlannedStep, script: Script) -> None:
        assert not script.transactional
        command = self.command
        if isinstance(command, RunUndo):
            outcome = self.choose(("done", "failed", "died before", "died after"))
            if outcome in ("done", "died after"):
                self._goes_back(command.step, command.script)
        else:
            assert isinstance(command, Perform), step.name
            outcome = self.choose(
                ("done", "failed", "failed, and left something", "failed, and may have", "died before", "died after")
            )
            if outcome in ("done", "failed, and left something", "died after"):
                self._happens(command.step, str(command.script))
        if outcome.startswith("failed"):
            raise ScriptFailed("no", left=outcome != "failed")
        if outcome.startswith("died"):
            raise Lost

    def happened(self, script: Script) -> bool | None:
        assert not script.transactional, "a transactional script is never in doubt"
        if self.choose(("known", "unknown")) == "unknown":
            return None
        command = self.command
        if isinstance(command, RunUndo):
            return (command.step, command.script) in self.undone
        assert isinstance(command, Resolve)
        return (command.step, str(command.script)) in self.effects

    def answers_yes(self, query: str) -> bool | None:
        raise AssertionError(f"these plans have no such query: {query}")

    def beside(self, step: PlannedStep, baseline: Mapping[str, Measurement]) -> NotLooking:
        del step, baseline
        return NotLooking()

    def batches(self, step: PlannedStep) -> MemoryBatches:
        return MemoryBatches(target=self, step=step)

    def oldest_running(self) -> str:
        return "7:7:"

    def call(self, step: PlannedStep, what: Program | Http, key: str, *, stoppable: bool) -> Any:
        raise AssertionError(f"{step.name}: these plans have no steps beyond the database: {what}, {key}, {stoppable}")

    def _happens(self, number: int, what: str) -> None:
        assert (number, what) not in self.effects, f"{what} of step {number} is performed twice"
        self.effects[number, what] = len(self.effects)
        self.went_forward.append((number, what))

    def _goes_back(self, number: int, index: int) -> None:
        step = self.plan.steps[number]
        undo = step.undo or ()
        later = [s for s, _ in self.effects if s > number and self.plan.steps[s].undo != ()]
        assert not later, f"step {number} is undone before {later}"
        assert (number, index) not in self.undone, f"undo script {index} of step {number} runs twice"
        ran = {i for s, i in self.undone if s == number}
        skipped = {undo[i].part for i in range(index) if i not in ran}
        assert not skipped or step.paired, "undo scripts run in their order, and none is left out"
        reached = {step.scripts[int(what)].part for s, what in self.effects if s == number and step.kind == "sql"}
        assert not skipped & reached, "the undo of a source that was reached is skipped"
        self.undone.add((number, index))
        self.went_back.append((number, index))
        rest = {undo[i].part for i in range(index + 1, len(undo))}
        for effect in [e for e in self.effects if e[0] == number]:
            whole = not step.paired and not rest
            part = step.paired and step.scripts[int(effect[1])].part not in rest
            if whole or part:
                del self.effects[effect]

    def forget(self, first: int) -> None:
        """Let a phase be as it was before it began: what has no undo may be done again."""
        self.effects = {effect: when for effect, when in self.effects.items() if effect[0] < first}
        self.undone = {(step, script) for step, script in self.undone if step < first}

    # what is there

    def fingerprint(self, form: int = FORM) -> Fingerprint:
        if isinstance(self.command, ProveRollback):
            if self.choose(("proved", "not proved")) == "not proved":
                return Fingerprint(form=form, objects={"table a": "another"})
            start = self.state().start
            return start.fingerprint if start else Fingerprint(form=form)
        return Fingerprint(form=form, objects={"table a": str(self.schema)})

    def done_on(self, name: str, phase: str, keys: Keys) -> tuple[bool, str]:
        raise AssertionError(f"these plans ask no other target: {name}, {phase}, {keys}")

    def missing_privileges(self, needs: Sequence[tuple[str, str]]) -> list[str]:
        del needs
        return []

    def measure(self, name: str, baseline: Measurement | None) -> Measurement:
        del baseline
        answer = self.choose(("pass", "fail", "no data"))
        if answer == "no data":
            return Measurement(check=name, missing="the query answered no row")
        return Measurement(check=name, numbers={"value": "0" if answer == "pass" else "1"})

    # backup and way back

    def take_backup(self, *, after: bool) -> BackupProved:
        if self.choose(("proved", "not proved")) == "not proved":
            raise BackupFailed("the disk is full")
        if not after:
            first = self.plan.phases[self.state().phase].first
            assert not [e for e in self.effects if e[0] >= first], "a backup is of what was there before its phase"
        return proof(self.now_)

    def restore(self, backup: BackupProved, body: BackupRestored, *, accepts_loss: bool) -> None:
        assert backup.folder, "only what was proved is restored"
        del accepts_loss
        if self.choose(("done", "failed")) == "failed":
            raise RestoreFailed("no")
        self.forget(body.step)
        self.ledger.append(body.replace(how="side by side"))

    def losses(self, state: State, step: int) -> Sequence[StepLoss]:
        assert state.status is Status.ROLLING_BACK, step
        rows = {"t": 0 if self.choose(("nothing", "rows")) == "nothing" else 3}
        return [StepLoss(step=step, rows=rows, how="measured")]

    def undo(self, state: State, step: int, index: int, script: Script, done: UndoDone) -> Event:
        assert script.transactional, (step, index)
        if not state.rollback.loss.accepted and self.choose(("nothing", "rows")) == "rows":
            raise RowsWritten("rows were written since", rows={"t": 1})
        return self.run_script(self.plan.steps[step], script, done)

    def switch(self, state: State, step: PlannedStep, script: Script, done: SwitchDone) -> Event:
        assert state.status is Status.ROLLING_BACK, (step, script)
        if self.choose(("done", "failed")) == "failed":
            raise ScriptFailed("no")
        if not state.rollback.loss.accepted and self.choose(("nothing", "rows")) == "rows":
            raise RowsWritten("rows were written since", rows={"t": 1})
        return self.ledger.append(done)

    def with_estimate(self, step: int, done: UndoDone) -> UndoDone:
        del step
        return done

    # lost connections

    def may_have_lost(self) -> bool:
        return True

    def knows(self, event: Event) -> None:
        self.ledger.known = event

    def proceed(self) -> None:
        """Nothing stops it."""

    def recover(self, error: psycopg.Error, known: int) -> list[Event] | None:
        raise AssertionError(f"nothing speaks to a server here: {error}, {known}")

    def describe(self, error: psycopg.Error) -> str:
        return str(error)


@dataclass(frozen=True, kw_only=True)
class MemoryBatches:
    """A table that a backfill works through, in memory."""

    target: MemoryTarget
    step: PlannedStep

    @property
    def estimate(self) -> int:
        return 100

    def run_next(self, number: int, after: Sequence[str] | None, body: BatchDone, size: int) -> Event | None:
        del number, after, size
        target = self.target
        outcome = target.choose(("done", "batch", "batch", "failed", "lost"))
        if outcome == "done":
            return None
        if outcome == "failed":
            raise ScriptFailed("no")
        if outcome == "lost":
            raise Lost
        done = sum(1 for step, _ in target.effects if step == body.step)
        target._happens(body.step, f"batch {done}")
        return target.ledger.append(body.replace(upto=(str(done),), rows=10))

    def undo_next(self, before: int, body: UndoBatchDone) -> Event | None:
        target, number = self.target, body.step
        events = target.ledger.read()
        since = max((event.seq for event in events if self._ends(event.body)), default=0)
        batches = [e for e in events if isinstance(e.body, BatchDone) and e.body.step == number and e.seq > since]
        left = [event for event in batches if not before or event.seq < before]
        there = [effect for effect in target.effects if effect[0] == number]
        assert len(left) == len(there), f"{len(left)} batches of step {number} are to be undone, and {len(there)} are there"
        if not left:
            return None
        outcome = target.choose(("batch", "failed", "lost"))
        if outcome == "failed":
            raise ScriptFailed("no")
        if outcome == "lost":
            raise Lost
        del target.effects[there[-1]]
        return target.ledger.append(body.replace(batch=left[-1].seq))

    def _ends(self, body: Body) -> bool:
        """Say whether what a batch did before an event is not there any more."""
        undone = isinstance(body, UndoDone) and body.step == self.step_number and body.last
        return undone or (isinstance(body, BackupRestored) and body.step <= self.step_number)

    @property
    def step_number(self) -> int:
        return self.target.plan.steps.index(self.step)

    def vacuum(self) -> None:
        """There is nothing to vacuum."""

    def rematches_own_rows(self, done: int) -> bool:
        del done
        return False


def proof(at: datetime = START) -> BackupProved:
    """Return a proved backup."""
    return BackupProved(
        folder="backups/x", taken_at=at, tables=1, objects=1, bytes=1000, restored_in=timedelta(seconds=1).total_seconds()
    )
