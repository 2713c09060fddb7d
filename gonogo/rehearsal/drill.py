"""The drill: on a copy, the runner dies before and after everything that it does, another one goes on, and all must be the same.

As when its process is killed, its connection is cut and all that it knew is gone: what goes on is made from the ledger alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn, cast

import psycopg

from gonogo import clock
from gonogo.core.engine.events import BackupProof, DrillEvidence, Kind, PhaseStarted, ResumeAsked, ScriptDone, UndoDone
from gonogo.core.engine.state import State, Status, outcome
from gonogo.core.plan.fingerprint import differences
from gonogo.ledger import store
from gonogo.postgres.connection import Connection
from gonogo.postgres.inventory import Snapshot, compare_snapshot, take_snapshot
from gonogo.rehearsal.copies import Copies
from gonogo.rehearsal.sandbox import RehearsalRun, inspect_copy, on_a_copy, run_on_copy, run_phase_on_copy
from gonogo.run import begin, launch, loop, rollback_request, runs
from gonogo.run.acquire import LiveRunner, Where, acquire_run
from gonogo.run.runner import Runner
from gonogo.run.runs import FoundRun
from gonogo.run.signatures import keys_of

#: how often it dies in one step, forward and back: a backfill has a thousand batches, each like the other
_OF_A_STEP = 6
_COMMIT = b";COMMIT"
#: where an event's kind stands in a message that appends it
_KIND = re.compile(rb"gonogo\.append\('[^']*','([^']*)'")
_BEGUN, _DONE = (Kind.STARTED, Kind.UNDO_STARTED), (Kind.DONE, Kind.UNDONE)


class _Killed(BaseException):
    """The runner is dead."""


class _Message(NamedTuple):
    """What a runner is about to send."""

    text: bytes
    #: the kind of the event that it appends; nothing where it appends none
    kind: str
    send: Callable[[], Any]
    connection: Connection


class _Wire:
    """A runner's connection, which can be cut at any message."""

    def __init__(self, inner: Connection, on_message: Callable[[_Message], Any]) -> None:
        object.__setattr__(self, "inner", inner)
        object.__setattr__(self, "on_message", on_message)

    def execute(self, query: Any, *arguments: Any, **named: Any) -> Any:
        """Send a message, or die before it or after it."""
        inner: Connection = self.inner
        text = query if isinstance(query, bytes) else query.encode() if isinstance(query, str) else b""
        found = _KIND.search(text)
        kind = found[1].decode() if found else str(arguments[0][1]) if b"gonogo.append(" in text else ""
        message = _Message(text, kind, lambda: inner.execute(query, *arguments, **named), inner)
        return self.on_message(message)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.inner, name, value)


@dataclass(kw_only=True)
class _Drill:
    """One run whose runners die, one after the other."""

    run: RehearsalRun
    url: str
    name: str
    proof: BackupProof | None
    #: it dies no more after this moment, in seconds of a clock that nobody sets
    until: float
    kills: int = 0
    #: what it would have died at, and did not
    left_out: int = 0
    doubts: list[str] = field(default_factory=list)
    _died: Counter[tuple[Status, int]] = field(default_factory=Counter)
    #: it has died before the message that comes next
    _before: bool = False
    #: it dies after the message that commits
    _commits: bool = False
    #: what was in work as it died had happened
    _happened: bool = False
    _alone: frozenset[bytes] = frozenset()
    _state: Callable[[], State] = State

    def carry(self, act: Callable[[LiveRunner], None]) -> State:
        """Let runners do something, one after the other, until one of them is not killed; return where the run stands then."""
        while True:
            runner = self._acquire()
            try:
                act(runner)
                if not self._settle(runner):
                    return runner.state
            except _Killed:
                self.kills += 1
            finally:
                with suppress(psycopg.Error):
                    runner.close()

    def go_forward(self, runner: LiveRunner) -> None:
        """Launch the run, or go on with it."""
        with inspect_copy(self.run.copy(self.url)) as looking:
            events = store.read(looking, self.name)
        if any(isinstance(event.body, PhaseStarted) for event in events):
            launch.go_on(runner, events, self._run_phase)
        state = runner.state
        if state.status is Status.READY and not state.held:
            launch.go(runner, len(runner.plan.phases) - state.phase, self._run_phase, at_once=True)

    def roll_back(self, runner: LiveRunner) -> None:
        """Roll the run back, or go on with that."""
        if runner.state.status is Status.DONE:
            request = rollback_request.RollbackRequest(reason="drill", level="undo", back_to=0, accept_loss=True)
            rollback_request.begin_rollback(runner, request, by_authority=False)
        elif runner.state.held:
            runner.append(ResumeAsked(accept_loss=True))
        loop.run_until_blocked(runner)

    def _run_phase(self, runner: Runner) -> None:
        run_phase_on_copy(runner, self.proof)

    def _acquire(self) -> LiveRunner:
        project = self.run.project
        runner = acquire_run(
            self.run.copy(self.url),
            self.name,
            actor=self.run.actor,
            keys=keys_of(project),
            where=Where(state_folder=project.state, root=project.files, keeps_head=False),
            resumed=self.kills > 0,
        )
        self._alone = frozenset(
            runner.session.texts[script.sha256].encode() for script in runner.plan.scripts if not script.transactional
        )
        self._state = lambda: runner.state
        runner.session.connection = cast("Connection", _Wire(runner.session.connection, self._on_message))
        return runner

    def _on_message(self, message: _Message) -> Any:
        text, kind, send, connection = message
        if self._commits and text == b"COMMIT":
            self._commits = False
            send()
            self._die(connection)
        alone = text in self._alone
        if not (alone or kind):
            return send()
        if self._died[self._place()] >= _OF_A_STEP or clock.monotonic() > self.until:
            self.left_out += 1
            return send()
        whole = text.endswith(_COMMIT)
        if not self._before:
            self._before = True
            # what a program did, or a statement alone, had happened where only its event is missing
            self._happened = not alone and (kind in _DONE or self._happened)
            if not alone:
                # all of it has run, and nothing of it stays
                connection.execute(text.removesuffix(_COMMIT)) if whole else send()
            self._die(connection)
        self._before, self._happened = False, alone or (kind not in _BEGUN and self._happened)
        if whole or alone:
            send()
            self._die(connection)
        # its transaction ends with a message of its own
        self._commits = True
        return send()

    def _place(self) -> tuple[Status, int]:
        state = self._state()
        return state.status, state.work.step

    def _die(self, connection: Connection) -> NoReturn:
        self._died[self._place()] += 1
        connection.close()
        raise _Killed

    def _settle(self, runner: LiveRunner) -> bool:
        """Say what is true of a step in doubt, as a person would who looked; return whether there was one."""
        state = runner.state
        in_doubt = state.held and (state.work.started is not None or (state.rollback.failed and state.rollback.undo_started))
        if not in_doubt:
            return False
        self.doubts.append(runner.plan.steps[state.work.step if state.work.step < len(runner.plan.steps) else -1].name)
        found = FoundRun(run=self.name, plan=runner.plan, events=[], state=state, running=False)
        answer = begin.settlement(found, "done" if self._happened else "not-done")
        until, self.until = self.until, 0.0
        runner.append(answer)
        runner.append(ResumeAsked(accept_loss=True))
        self.until = until
        return True


def drill(run: RehearsalRun, copies: Copies, end: Snapshot | None, within: float) -> DrillEvidence:
    """Run the plan forward, and back by its undos, while the runner dies before and after everything that it does.

    Args:
        run: the rehearsal.
        copies: where a copy comes from.
        end: what a copy held at the end of the way forward, where nobody died.
        within: the seconds after which it dies no more.
    """
    run.say("the runner dies before and after everything that it does")
    began = clock.monotonic()
    notes: list[str] = []
    with copies.fresh() as (url, proof):
        with run_on_copy(run, on_a_copy(run.plan), url) as first:
            name = first.session.run
        copy = run.copy(url)
        drilled = _Drill(run=run, url=url, name=name, proof=proof, until=began + within)
        with inspect_copy(copy) as looking:
            start = take_snapshot(looking)
            state = drilled.carry(drilled.go_forward)
            if state.status is not Status.DONE:
                notes.append(f"it did not go forward: {outcome(state)}: {state.why}")
            else:
                notes += _compare_end(end, take_snapshot(looking))
            if "undo" in run.plan.rollback.levels and not notes:
                notes += _back(drilled, start, looking)
            notes += _done_twice(runs.find(looking, run=name, whole=True))
    return DrillEvidence(
        kills=drilled.kills,
        left_out=drilled.left_out,
        took=round(clock.monotonic() - began, 1),
        doubts=tuple(dict.fromkeys(drilled.doubts)),
        differences=tuple(notes),
    )


def _back(drilled: _Drill, start: Snapshot, looking: Connection) -> list[str]:
    state = drilled.carry(drilled.roll_back)
    if state.status is not Status.ROLLED_BACK:
        return [f"it did not roll back: {outcome(state)}: {state.held}"]
    differing, misplaced = compare_snapshot(start, looking)
    return [*differing, *misplaced]


def _compare_end(end: Snapshot | None, now: Snapshot) -> list[str]:
    """Return what differs from where nobody died; values may: moments and random ids are others each time."""
    if end is None:
        return []
    counts = [(table, said.split(":", 1)[0], now.rows.get(table, "0:").split(":", 1)[0]) for table, said in end.rows.items()]
    rows = [f"{table} has {found} rows, and {wanted} where nobody died" for table, wanted, found in counts if wanted != found]
    return [*differences(end.schema.objects, now.schema.objects), *rows]


def _done_twice(found: FoundRun) -> list[str]:
    """Return what the ledger says was done more than once."""
    done: Counter[tuple[str, int, int]] = Counter()
    for event in found.events:
        if isinstance(event.body, ScriptDone | UndoDone):
            done[str(event.kind), event.body.step, event.body.script] += 1
    steps = found.plan.steps
    return [f"{steps[step].name}: {count} times {kind}" for (kind, step, _), count in done.items() if count > 1]
