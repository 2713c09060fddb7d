"""A run that this process carries: its facts, its connections, its watch, and what is next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import psycopg

from checks.kind import CheckEnvironment
from checks.measure import measure
from gonogo import clock
from gonogo.core.engine import decide
from gonogo.core.engine.events import Event, Kind
from gonogo.core.engine.evolve import default_reach, evolve, fold
from gonogo.core.engine.state import ROLLING_BACK_STATES, State, Status
from gonogo.core.engine.verdict import Measurement
from gonogo.core.plan.plan import Plan
from gonogo.errors import Refused
from gonogo.keys import Keys
from gonogo.ledger import fence, store
from gonogo.postgres import scratch
from gonogo.postgres.connection import Connection, Database, identify, require_same
from gonogo.run import signatures
from gonogo.run.session import Session
from gonogo.run.watch import Watch

Listener: TypeAlias = Callable[[State, Event, State], None]
_WATCHED = frozenset({Status.WORKING, Status.VERIFYING, Status.SOAKING})


@dataclass(kw_only=True)
class Runner:
    """Carries one run: the only one that does, until it is fenced."""

    session: Session
    plan: Plan
    state: State
    keys: Keys
    listeners: list[Listener] = field(default_factory=list)
    #: where backups lie, and the scratch server that may have to prove them
    room: Path = Path(".gonogo")
    #: why nothing of its plan may act beyond the database, if it may not
    untrusted: str = ""
    #: the project, in which programs run and whose own checks are asked
    root: Path = Path()
    #: whether it waits at a gate for as long as people have to decide
    patient: bool = True
    #: lets a moment pass while people decide; Prefect's form listens meanwhile
    listen: Callable[[Runner], None] | None = None
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
        found = (state.start if state.status in ROLLING_BACK_STATES else state.baseline).get("measurements", {})
        return {name: Measurement.model_validate(measured) for name, measured in found.items()}

    # facts

    def sync(self) -> None:
        """Take in what others have recorded."""
        for event in store.read(self.session.connection, self.session.run, self.state.seq):
            self.take_in(event)

    def apply_own(self, event: Event) -> None:
        """Take in a fact of our own; where its number shows that others came before it, theirs first."""
        if event.seq == self.state.seq + 1:
            self.take_in(event)
        elif event.seq > self.state.seq:
            self.sync()

    def take_in(self, event: Event) -> None:
        """Fold one event, and tell the listeners."""
        before, self.state = self.state, evolve(self.state, event)
        self.session.known = self.state.seq
        for listener in self.listeners:
            listener(before, event, self.state)

    def append(self, kind: Kind, body: Mapping[str, Any] | None = None) -> None:
        """Record a fact and take it in."""
        self.apply_own(self.session.append(kind, body or {}))

    # what is next

    def next(self) -> decide.Command | None:
        """Say what is next; keep the watch running exactly while there is something to watch."""
        if self._holds_forged():
            return None
        self._start_or_stop_watch()
        return decide.decide(self.plan, self.state, clock.now())

    def _holds_forged(self) -> bool:
        """Hold a run on a protected target whose go, or whose agreement to turn back, somebody else wrote."""
        state = self.state
        standing = (state.go_seq, state.rollback_seq)
        if not self.plan.protected or standing == self._trusted or state.at_rest:
            return False
        connection, run = self.session.connection, self.session.run
        why = ""
        if state.status in _WATCHED:
            why = signatures.why_go_invalid(connection, run, self.plan, self.keys, state)
        elif state.status in ROLLING_BACK_STATES:
            why = signatures.why_approval_invalid(connection, run, self.plan, self.keys, state)
        if why:
            self.append(Kind.HELD, {"why": why})
        else:
            self._trusted = standing
        return bool(why)

    def scratch_server(self) -> scratch.ScratchServer:
        """Return where a scratch database may be made."""
        return scratch.scratch_server_of(self.session.database, self.plan.rehearse_on, self.room)

    def close_checks(self) -> None:
        """Close every connection but the one that runs the steps: its database is about to be swapped."""
        self.end_watch()
        if self._asker is not None:
            self._asker.close()

    # what is asked, and watched

    def ask(self, name: str) -> Measurement:
        """Measure a check on a connection that runs no steps."""
        if self._asker is None or self._asker.closed:
            self._asker = self.session.database.connect(f"{self.session.name}/checks", self.plan.sql)
        return measure(self.plan, name, self.environment(), self._asker, self.baseline.get(name))

    def environment(self) -> CheckEnvironment:
        """Return what is around the checks of this run."""
        texts, database = self.session.texts, self.session.database
        return CheckEnvironment(texts=texts, root=self.root, database=database, untrusted=self.untrusted)

    def _start_or_stop_watch(self) -> None:
        phase = self.plan.phases[min(self.state.phase, len(self.plan.phases) - 1)]
        wanted = self.state.status in _WATCHED and not self.state.held and bool(phase.watch)
        if not wanted:
            self.end_watch()
        elif self._watch is None:
            # asked anew at each trip
            passed = self.passed_no_return
            self._watch = Watch(self.session, phase, self.baseline, self.environment(), passed)
            self._watch.start()
        elif self._watch.died:
            why = f"the watch ended: {self._watch.died}"
            self._watch = None
            self.append(Kind.HELD, {"why": why})

    def passed_no_return(self) -> str:
        """Say which point of no return is passed, of what would be turned back where nobody says otherwise."""
        first = self.plan.phases[default_reach(self.state)].first
        return decide.passed_no_return(self.plan, self.state, first)

    def end_watch(self, since: datetime | None = None) -> None:
        """Stop watching, and wait until the watch has ended; its last sample begins after a moment, if one is given."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.well = watch.stop(since)

    def watch_objects(self) -> bool:
        """End the watch when its last sample is judged, and say whether it tripped or held the run with it."""
        status, watch = self.state.status, self._watch
        self.end_watch(self.state.soak_from)
        self.sync()
        if watch is not None and not watch.well and self.state.status is status and not self.state.held:
            why = watch.died or "its last sample could not be judged"
            self.append(Kind.HELD, {"why": f"the watch of {watch.phase.name} saw nothing: {why}"})
        return self.state.status is not status or bool(self.state.held)

    def hold_now(self, why: str) -> None:
        """Stop the running statement at once, and hold the run."""
        self.end_watch()
        self.session.reconnect()
        self.sync()
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


def acquire_run(
    database: Database,
    run: str,
    *,
    actor: str,
    keys: Keys,
    take_over: bool = False,
    resumed: bool = False,
    session_type: type[Session] = Session,
) -> Runner:
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
        if not store.exists(connection):
            raise Refused("the target has no ledger, so there is no run to carry")
        plan = store.read_plan(connection, run)
        require_same(identity, plan.identity)
        hashes = {script.sha256 for script in plan.scripts}
        texts = store.read_texts(connection, [*hashes, *(q.sha256 for q in plan.questions.values())])
        events = store.read_state(connection, run)
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
    untrusted = signatures.untrusted(session.connection, run, plan, keys)
    runner = Runner(session=session, plan=plan, state=fold(events), keys=keys, untrusted=untrusted)
    session.known = runner.state.seq
    # what was recorded between the first look and the claim
    runner.sync()
    if resumed:
        runner.append(Kind.TAKEN_OVER, {"epoch": session.epoch})
    return runner
