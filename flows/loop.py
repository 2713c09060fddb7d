"""The loop: fold the ledger, decide, perform, record; the same with and without Prefect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import psycopg

import checks
from flows import decide, perform
from flows.watch import Watch
from gonogo import clock, fence, ledger, scratch
from gonogo.blockers import told
from gonogo.core import engine
from gonogo.core.event import Event, Kind
from gonogo.core.evolve import evolve, fold, usual_reach
from gonogo.core.plan import Plan
from gonogo.core.state import TURNING_BACK, State, Status
from gonogo.core.verdict import Measurement
from gonogo.database import Connection, Database, identify, require_same
from gonogo.errors import Refused
from gonogo.keys import Keys
from gonogo.script import Session, Stopped

Listener: TypeAlias = Callable[[State, Event, State], None]
Work: TypeAlias = Callable[[], None]
#: shows a stretch of work under a name: a Prefect task, or nothing at all
Stage: TypeAlias = Callable[[str, Work], None]
_WATCHED = frozenset({Status.WORKING, Status.VERIFYING, Status.SOAKING})


def plainly(_: str, work: Work) -> None:
    """Do the work, and show it nowhere."""
    work()


@dataclass(kw_only=True)
class Conductor:
    """Carries one run: the only one that does, until it is fenced."""

    session: Session
    plan: Plan
    state: State
    keys: Keys
    listeners: list[Listener] = field(default_factory=list)
    #: where backups lie, and the scratch server that may have to prove them
    room: Path = Path(".gonogo")
    #: why nothing of its plan may act beyond the database, if it may not
    distrust: str = ""
    #: the project, in which programs run and whose own checks are asked
    root: Path = Path()
    #: whether it waits at a gate for as long as people have to decide
    patient: bool = True
    #: lets a moment pass while people decide; Prefect's form listens meanwhile
    listen: Callable[[Conductor], None] | None = None
    #: the go and the agreement that were seen to be signed
    _trusted: tuple[int, int] = (-1, -1)
    #: restores in place even where databases may be made, as a rehearsal does for a target where they may not
    in_place: bool = False
    _asker: Connection | None = None
    _watch: Watch | None = None

    @property
    def baseline(self) -> Mapping[str, Measurement]:
        """What was measured before the first change; while a later phase is turned back, as that began."""
        state = self.state
        found = (state.start if state.status in TURNING_BACK else state.baseline).get("measurements", {})
        return {name: Measurement.model_validate(measured) for name, measured in found.items()}

    # facts

    def catch_up(self) -> None:
        """Take in what others have recorded."""
        for event in ledger.read(self.session.connection, self.session.run, self.state.seq):
            self._take(event)

    def absorb(self, event: Event) -> None:
        """Take in a fact of our own; where its number shows that others came before it, theirs first."""
        if event.seq == self.state.seq + 1:
            self._take(event)
        elif event.seq > self.state.seq:
            self.catch_up()

    def _take(self, event: Event) -> None:
        before, self.state = self.state, evolve(self.state, event)
        self.session.known = self.state.seq
        for listener in self.listeners:
            listener(before, event, self.state)

    def append(self, kind: Kind, body: Mapping[str, Any] | None = None) -> None:
        """Record a fact and take it in."""
        self.absorb(self.session.append(kind, body or {}))

    # the loop

    def next(self) -> engine.Command | None:
        """Say what is next; keep the watch running exactly while there is something to watch."""
        if self._distrusts():
            return None
        self._tend_watch()
        return engine.decide(self.plan, self.state, clock.now())

    def _distrusts(self) -> bool:
        """Hold a run on a protected target whose go, or whose agreement to turn back, somebody else wrote."""
        state = self.state
        standing = (state.went, state.turned)
        if not self.plan.protected or standing == self._trusted or state.at_rest:
            return False
        connection, run = self.session.connection, self.session.run
        why = ""
        if state.status in _WATCHED:
            why = decide.go_stands(connection, run, self.plan, self.keys, state)
        elif state.status in TURNING_BACK:
            why = decide.agreement_stands(connection, run, self.plan, self.keys, state)
        if why:
            self.append(Kind.HELD, {"why": why})
        else:
            self._trusted = standing
        return bool(why)

    def pursue(self, stage: Stage = plainly) -> None:
        """Do what is next until nothing is: the run has ended, waits between phases or for people, or is held."""
        self.catch_up()
        try:
            while (command := self.next()) is not None and not self._leaves(command):
                name = self.stage_of(command)
                stage(name, lambda name=name: self._within(name))  # type: ignore[misc]
        finally:
            self.end_watch()

    def scratch_room(self) -> scratch.Room:
        """Return where a scratch database may be made."""
        return scratch.room_of(self.session.database, self.plan.rehearse_on, self.room)

    def leave_target(self) -> None:
        """Close every connection but the one that runs the steps: its database is about to be swapped."""
        self.end_watch()
        if self._asker is not None:
            self._asker.close()

    def measure_baseline(self) -> None:
        """Measure what is compared with later, if that is next."""
        self.catch_up()
        while isinstance(command := self.next(), engine.MeasureBaseline):
            self.attempt(command)

    def _leaves(self, command: engine.Command) -> bool:
        """Say whether this process goes, and people decide without it."""
        return not self.patient and isinstance(command, engine.Wait) and self.state.status is Status.DECIDING

    def _within(self, stage: str) -> None:
        while (command := self.next()) is not None and self.stage_of(command) == stage and not self._leaves(command):
            self.attempt(command)

    def attempt(self, command: engine.Command) -> None:
        """Carry out a command, through a lost connection or a watch that tripped meanwhile."""
        try:
            perform.perform(self, command)
        except Stopped:
            # the watch recorded why before it cancelled the statement
            self.catch_up()
            self.session.proceed()
        except psycopg.Error as error:
            if self.session.lost(error):
                for event in self.session.recover(self.state.seq):
                    self._take(event)
                return
            ledger.raise_if_fenced(error)
            # nothing of this kind is expected; whatever it is, a person should see it before anything else happens
            self.append(Kind.HELD, {"why": f"{self.stage_of(command)}: {told(error, self.session.connection)}"})

    def stage_of(self, command: engine.Command) -> str:
        """Name the stretch of work that a command belongs to: its task, or what surrounds the tasks."""
        match command:
            case engine.Recall() | engine.MeasureBaseline() | engine.JudgeGate():
                return "gate"
            case engine.TakeBackup():
                return "backup"
            case engine.Perform(step) | engine.Resolve(step):
                return self.plan.steps[step].task
            case engine.Undo(step):
                return f"undo {self.plan.steps[step].task}"
            case engine.Weigh() | engine.Switch() | engine.Restore():
                return f"roll back by {self.state.level}"
            case engine.Verify():
                return "verify"
            case engine.Prove():
                return "prove the rollback"
            case engine.Wait() | engine.Ask() if self.state.status is Status.WORKING:
                return self.plan.steps[self.state.step].task
            case engine.Wait() if self.state.status in (Status.GATING, Status.DECIDING):
                return "gate"
            case _:
                return "soak" if self.state.status is Status.SOAKING else "record"

    # what is asked, and watched

    def ask(self, name: str) -> Measurement:
        """Measure a check on a connection that runs no steps."""
        if self._asker is None or self._asker.closed:
            self._asker = self.session.database.connect(f"{self.session.name}/checks", self.plan.sql)
        return checks.measure(self.plan, name, self.around(), self._asker, self.baseline.get(name))

    def around(self) -> checks.Around:
        """Return what is around the checks of this run."""
        texts, database = self.session.texts, self.session.database
        return checks.Around(texts=texts, root=self.root, database=database, distrust=self.distrust)

    def _tend_watch(self) -> None:
        phase = self.plan.phases[min(self.state.phase, len(self.plan.phases) - 1)]
        wanted = self.state.status in _WATCHED and not self.state.held and bool(phase.watch)
        if not wanted:
            self.end_watch()
        elif self._watch is None:
            # asked anew at each trip
            passed = self.past_return
            self._watch = Watch(self.session, phase, self.baseline, self.around(), passed)
            self._watch.start()
        elif self._watch.died:
            why = f"the watch ended: {self._watch.died}"
            self._watch = None
            self.append(Kind.HELD, {"why": why})

    def past_return(self) -> str:
        """Say which point of no return is passed, of what would be turned back where nobody says otherwise."""
        first = self.plan.phases[usual_reach(self.state)].first
        return engine.past_return(self.plan, self.state, first)

    def end_watch(self, since: datetime | None = None) -> None:
        """Stop watching, and wait until the watch has ended; its last sample begins after a moment, if one is given."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.well = watch.stop(since)

    def watch_disagrees(self) -> bool:
        """End the watch when its last sample is judged, and say whether it tripped or held the run with it."""
        status, watch = self.state.status, self._watch
        self.end_watch(self.state.soak_from)
        self.catch_up()
        if watch is not None and not watch.well and self.state.status is status and not self.state.held:
            why = watch.died or "its last sample could not be judged"
            self.append(Kind.HELD, {"why": f"the watch of {watch.phase.name} saw nothing: {why}"})
        return self.state.status is not status or bool(self.state.held)

    def hold_now(self, why: str) -> None:
        """Stop the running statement at once, and hold the run."""
        self.end_watch()
        self.session.reconnect()
        self.catch_up()
        if not self.state.at_rest:
            self.append(Kind.HELD, {"why": why})

    def close(self) -> None:
        """Let the next runner in, and close every connection."""
        self.end_watch()
        connection = self.session.connection
        if not connection.closed:
            with suppress(psycopg.Error):
                fence.release(connection, self.session.run, self.session.epoch)
            connection.close()
        if self._asker is not None:
            self._asker.close()


def embark(
    database: Database,
    run: str,
    *,
    actor: str,
    keys: Keys,
    take_over: bool = False,
    resumed: bool = False,
    session_type: type[Session] = Session,
) -> Conductor:
    """Become the runner of a run, from the ledger alone.

    Args:
        database: the target.
        run: the run.
        actor: who this is, for the ledger.
        keys: what proves the people who decide.
        take_over: end a runner that is still there.
        resumed: whether another process carried the run before.
        session_type: what runs the scripts; a rehearsal's looks on.

    Raises:
        Refused: the target is not the run's, or another runner works on it.
    """
    connection = database.connect(f"gonogo/{run}", None)
    try:
        identity = identify(connection)
        if not ledger.exists(connection):
            raise Refused("the target has no ledger, so there is no run to carry")
        plan = ledger.read_plan(connection, run)
        require_same(identity, plan.identity)
        hashes = {script.sha256 for script in plan.scripts}
        texts = ledger.read_texts(connection, [*hashes, *(q.sha256 for q in plan.questions.values())])
        events = ledger.read_state(connection, run)
    finally:
        connection.close()
    session = session_type(
        database=database,
        plan=plan,
        run=run,
        actor=actor,
        connection=database.connect(f"gonogo/{run}", plan.sql),
        epoch=0,
        texts=texts,
    )
    session.epoch = fence.claim(session.connection, run, take_over=take_over)
    session.connection.execute("SELECT pg_catalog.set_config('application_name', %s, false)", [session.name[:63]])
    session.connection.execute("LISTEN gonogo")
    distrust = decide.distrust(session.connection, run, plan, keys)
    conductor = Conductor(session=session, plan=plan, state=fold(events), keys=keys, distrust=distrust)
    session.known = conductor.state.seq
    # what was recorded between the first look and the claim
    conductor.catch_up()
    if resumed:
        conductor.append(Kind.TAKEN_OVER, {"epoch": session.epoch})
    return conductor
