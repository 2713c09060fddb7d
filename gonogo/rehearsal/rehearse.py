"""The rehearsal: the very plan, by the very engine, on a restored copy; forward, and back by every way that there is.

What it showed is recorded on the target, bound to the seal: only a run of just this plan on just this schema may rest on it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from gonogo import clock
from gonogo.core.engine.budgets import downtime_by_phase
from gonogo.core.engine.events import (
    BackupProof,
    BlindSpots,
    ForwardEvidence,
    LevelEvidence,
    QueryEvidence,
    Rehearsed,
    StepEvidence,
    write_body,
)
from gonogo.core.engine.evolve import evolve
from gonogo.core.engine.forecast import actual_times
from gonogo.core.engine.rehearsal import Restores, shortcomings, verdict
from gonogo.core.engine.state import SWITCH_LEVELS, State, Status, outcome
from gonogo.core.model import copies as model
from gonogo.core.plan.fingerprint import Fingerprint, differences
from gonogo.core.plan.plan import Identity, Plan
from gonogo.core.plan.seal import evidence_seal
from gonogo.ledger import chains, store
from gonogo.ledger.encoding import encode
from gonogo.planning.prepared import Prepared
from gonogo.postgres.connection import Database, identify
from gonogo.postgres.fingerprint import fingerprint
from gonogo.postgres.inventory import Snapshot, compare_snapshot
from gonogo.postgres.scratch import require_extensions
from gonogo.project import Project
from gonogo.recovery import dump, restore
from gonogo.recovery.manifest import BackupFailed, BackupFolder, read
from gonogo.rehearsal.blind_spots import Search, Watcher, accepted, asked_of, quick
from gonogo.rehearsal.copies import Copies, others, restored
from gonogo.rehearsal.drill import drill
from gonogo.rehearsal.isolation import rehearse_phases, rehearse_steps
from gonogo.rehearsal.observer import RehearsalObserver, in_turn, key_queries
from gonogo.rehearsal.sandbox import RehearsalRun, Say, inspect_copy, on_a_copy, run_on_copy, run_phase_on_copy
from gonogo.run import launch, loop, rollback_request, targets
from gonogo.run.acquire import LiveRunner
from gonogo.run.runner import Runner
from gonogo.run.signatures import keys_of

#: the seconds that any drill may take
_DRILL = 20.0


def rehearse(
    prepared: Prepared,
    database: Database,
    project: Project,
    *,
    actor: str,
    say: Say,
    each_step: bool = False,
    with_drill: bool = False,
    blind_spots: bool = False,
    folder: Path | None = None,
) -> Rehearsed:
    """Rehearse a plan on a copy of its target, record what it showed on the target, and return it.

    Args:
        prepared: the plan, with its scripts.
        database: the target; it is read for the backup, and written to only for the record.
        project: whose backups and embedded server are used.
        actor: who rehearses, for the record.
        say: where its progress is told.
        each_step: whether every step's undo is proved by itself too, right after the step; also where the runbook asks for it.
        with_drill: whether it is also gone through while the runner dies before and after everything that it does.
        blind_spots: whether it is looked for what no check would notice; also where the runbook asks for it.
        folder: a backup to rehearse on, instead of a new one.

    Raises:
        BackupFailed: the backup cannot be taken, or does not restore what was there.
        Refused: the target must not be used, or no copy of it can be made.
    """
    with targets.connect_recovering(database, "gonogo/rehearse") as connection:
        identity = identify(connection)
        store.create(connection)
        before = fingerprint(connection)
    plan = prepared.plan.model_copy(update={"identity": identity})
    run = RehearsalRun(
        plan=plan,
        texts=dict(prepared.texts),
        database=database,
        project=project,
        actor=actor,
        say=say,
        each_step=each_step or bool(plan.rehearsal and plan.rehearsal.each_step),
        blind_spots=blind_spots or bool(plan.rehearsal and plan.rehearsal.blind_spots),
    )
    shown = _rehearse(run, before, folder, with_drill=with_drill)
    with database.connect("gonogo/rehearse") as connection:
        # a program, a foreign server or dblink may have reached it; or somebody else changed it
        touched = tuple(differences(before.objects, fingerprint(connection).objects))
    shown = shown.replace(target_changed=touched)
    shown = _signed(plan, project, shown.replace(shortcomings=shortcomings(plan, shown)))
    with database.connect("gonogo/rehearse") as connection:
        chains.record_rehearsal(connection, plan, shown, actor)
    return shown


def _rehearse(run: RehearsalRun, known: Fingerprint, folder: Path | None, *, with_drill: bool) -> Rehearsed:
    """Rehearse on copies of a backup, or on those that something else makes.

    Args:
        run: the rehearsal.
        known: the target's schema.
        folder: a backup to rehearse on, instead of a new one.
        with_drill: whether it is also gone through while the runner dies.
    """
    plan = run.plan
    wanted = Wanted(with_drill=with_drill, each_step=run.each_step)
    if isinstance(plan.rehearse_on, model.Copies) and not folder:
        return _evidence(run, others(run, plan.rehearse_on, known), wanted)
    require_extensions(run.room)
    made = read(folder) if folder else _take(plan, run.database, run.project, run.say)
    _require_of(made, plan.identity)
    with run.standing_in() as acting, restored(acting, made, only_one=wanted.copies(plan) == 1) as copies:
        return _evidence(acting, copies, wanted)


def _signed(plan: Plan, project: Project, shown: Rehearsed) -> Rehearsed:
    """Return what was shown with the project's signature, where the target is protected."""
    if not plan.protected:
        return shown
    # as the ledger holds it, so that it is the same when it is read again
    written = json.loads(encode(write_body(shown)))
    return shown.replace(signature=keys_of(project).sign_as_project(written))


def _require_of(made: BackupFolder, identity: Identity | None) -> None:
    """See that a backup is a whole one of the very target.

    Raises:
        BackupFailed: it is not.
    """
    of = (made.manifest.system, made.manifest.database)
    if identity is not None and of != (identity.system_identifier, identity.database):
        raise BackupFailed(f"{made.folder} is a backup of another database ({made.manifest.database})")
    if made.manifest.without_rows:
        raise BackupFailed(f"{made.folder} leaves rows out, so nothing can be rehearsed on it; a whole one can")


def _take(plan: Plan, database: Database, project: Project, say: Say) -> BackupFolder:
    say("taking a backup of the target")
    return dump.take(database, project.state / "backups" / f"{plan.runbook}-rehearsal-{dump.stamp()}", say)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is rehearsed beside the levels of the rollback."""

    with_drill: bool
    each_step: bool

    def copies(self, plan: Plan) -> int:
        """Return how many copies that takes at most."""
        alone = (plan.rollback.reach == "phase", self.each_step, self.with_drill, bool(_compared(plan)))
        return len(_rehearsed_levels(plan)) + sum(alone)


def _rehearsed_levels(plan: Plan) -> list[str]:
    """Return the levels of the rollback that a rehearsal can take."""
    elsewhere = not isinstance(plan.rehearse_on, str) or bool(plan.backup and plan.backup.provider)
    return [level for level in plan.rollback.levels if level != "restore" or not elsewhere]


def _compared(plan: Plan) -> list[str]:
    """Return the latencies that are measured on a fresh copy and on the changed one in turn."""
    watched = {name for phase in plan.phases for name in (*phase.watch, *phase.verify)}
    return [name for name in watched if plan.checks[name].time and plan.checks[name].needs_baseline]


def _evidence(run: RehearsalRun, copies: Copies, wanted: Wanted) -> Rehearsed:
    began = clock.monotonic()
    trips, levels = _rehearse_levels(run, copies)
    first = next(iter(trips.values()), None)
    went = bool(first and first.forward.outcome == "done")
    phases = rehearse_phases(run, copies) if went and run.plan.rollback.reach == "phase" else ()
    alone = rehearse_steps(run, copies) if run.each_step else {}
    drilled = None
    if first and went and wanted.with_drill:
        # all of it takes three times as long at most; a short one gets its time, too
        drilled = drill(run, copies, first.end, max(_DRILL, 2 * (clock.monotonic() - began)))
    seen = trips.get("undo") or first
    steps = tuple(alone[step.step].put_into(step) if step.step in alone else step for step in (seen.steps if seen else ()))
    return Rehearsed(
        # what is known is as old as what it was rehearsed on
        at=copies.taken_at,
        took=round(clock.monotonic() - began, 1),
        plan=run.plan.seal,
        seal=evidence_seal(run.plan, copies.fingerprint),
        fingerprint=copies.fingerprint,
        target=run.plan.target,
        on=copies.where,
        backup=first.proof if first else None,
        rows=first.start.size if first and first.start else 0,
        forward=first.forward if first else ForwardEvidence(),
        tasks=first.tasks if first else {},
        down=first.down if first else {},
        steps=steps,
        levels=tuple(levels),
        phases=phases,
        queries=first.queries if first else (),
        each_step=run.each_step,
        drill=drilled,
        blind=first.blind if first else None,
    )


def _rehearse_levels(run: RehearsalRun, copies: Copies) -> tuple[dict[str, _RoundTrip], tuple[LevelEvidence, ...]]:
    """Go forward, and back by each level; those that cannot be taken on a copy say so."""
    rehearsed, trips = _rehearsed_levels(run.plan), dict[str, _RoundTrip]()
    for level in rehearsed:
        trips[level] = _rehearse_level(run, copies, level, first=not trips)
        if trips[level].forward.outcome != "done":
            break
    levels = [
        trips[level].level_evidence(level) if level in trips else LevelEvidence(level=level, verdict=Restores.WITH_BACKUP)
        for level in run.plan.rollback.levels
        if level in trips or level not in rehearsed
    ]
    return trips, tuple(levels)


def _rehearse_level(run: RehearsalRun, copies: Copies, level: str, *, first: bool) -> _RoundTrip:
    """Go forward on a fresh copy, then back by one way."""
    run.say(f"rehearsing the rollback by {level}")
    with run.database.connect("gonogo/rehearse") as connection:
        in_place = not restore.may_swap(connection)
    with copies.fresh() as copy:
        trip = _RoundTrip(run=run, proof=copy.proof)
        with run_on_copy(run, on_a_copy(run.plan), copy.url) as runner:
            runner.postgres.in_place = in_place
            trip.go_forward(runner, watches=first and run.blind_spots)
            if trip.forward.outcome == "done":
                if first:
                    trip.compare_latencies(copies, runner)
                    trip.look_for_blind_spots(runner)
                trip.go_back(runner, level)
    return trip


@dataclass(kw_only=True)
class _RoundTrip:
    """What is seen of one way forward and back."""

    run: RehearsalRun
    proof: BackupProof | None
    start: Snapshot | None = None
    #: what it held when all was done
    end: Snapshot | None = None
    forward: ForwardEvidence = field(default_factory=ForwardEvidence)
    steps: tuple[StepEvidence, ...] = ()
    tasks: dict[str, float] = field(default_factory=dict)
    #: how long each phase kept the application down, in seconds
    down: dict[str, float] = field(default_factory=dict)
    queries: tuple[QueryEvidence, ...] = ()
    blind: BlindSpots | None = None
    back: LevelEvidence | None = None
    _watcher: Watcher | None = None

    def go_forward(self, runner: LiveRunner, *, watches: bool) -> None:
        """Run everything, taking stock before every step; where it watches, also of every column and object."""
        plan, run = runner.plan, runner.session.run
        with inspect_copy(runner.session.database) as looking:
            observer = RehearsalObserver(runner, looking)
            self.start = observer.before[0]
            self.queries = tuple(QueryEvidence(check=name, before=seen) for name, seen in observer.queries.items())
            runner.listeners.append(observer.on_event)
            if watches:
                self._watcher = Watcher(plan, looking)
                runner.listeners.append(self._watcher.on_event)
            began = clock.monotonic()
            launch.go(runner, len(plan.phases), self._run_phase, at_once=True)
            runner.listeners.remove(observer.on_event)
            if self._watcher is not None:
                runner.listeners.remove(self._watcher.on_event)
            if runner.state.status is Status.DONE:
                self.end = observer.before.get(len(plan.steps))
                after = dict(key_queries(runner, looking))
                self.queries = tuple(query.replace(after=after.get(query.check)) for query in self.queries)
        state = runner.state
        events = store.read(runner.session.connection, run)
        watched = self._watcher.spent if self._watcher else 0.0
        took = round(clock.monotonic() - began - observer.spent - watched, 2)
        self.forward = ForwardEvidence(outcome=outcome(state), why=state.why, took=took)
        times = actual_times(plan, events)
        self.tasks = {name: round((end - start).total_seconds(), 2) for name, (start, end) in times.items() if end}
        self.down = downtime_by_phase(plan, zip(events, list(accumulate(events, evolve, initial=State()))[1:], strict=True))
        self.steps = observer.steps(events)
        self._observer = observer

    def compare_latencies(self, copies: Copies, runner: LiveRunner) -> None:
        """Measure what the run is watched by on a fresh copy and on this one, in turn."""
        plan = self.run.plan
        if not _compared(plan):
            return
        self.run.say("measuring the old and the new in turn")
        with copies.fresh() as copy:
            old = self.run.copy(copy.url)
            with inspect_copy(old) as before, inspect_copy(runner.session.database) as after:
                for side in (before, after):
                    side.execute("ANALYZE")
                found = in_turn(plan, runner.postgres.environment(), before, after)
        self.queries = tuple(query.replace(latency=found.get(query.check)) for query in self.queries)

    def look_for_blind_spots(self, runner: LiveRunner) -> None:
        """Make one small thing after another wrong where a step wrote, and see which no check notices."""
        if self._watcher is None:
            return
        self.run.say("looking for blind spots: what could be wrong without any check noticing")
        plan = self.run.plan
        names, others = asked_of(plan)
        search = Search(
            plan=quick(plan),
            names=names,
            environment=runner.postgres.environment(),
            baseline=runner.context.baseline,
        )
        with inspect_copy(runner.session.database) as looking:
            found = search.run(looking, self._watcher.made).replace(not_asked=tuple(others))
        self.blind = accepted(found, plan.accepted_spots)

    def _run_phase(self, runner: Runner) -> None:
        run_phase_on_copy(runner, self.proof)

    def go_back(self, runner: LiveRunner, level: str) -> None:
        """Roll back by one way, and compare with what there was."""
        self.run.say(f"rolling back by {level}")
        with inspect_copy(runner.session.database) as looking:
            self._observer.watch_undo(looking)
            began = clock.monotonic()
            if level == "undo":
                runner.listeners.append(self._observer.on_undo)
            # nobody but the run writes to a copy
            back = rollback_request.RollbackRequest(reason="rehearsed", level=level, back_to=0, accept_loss=True)
            rollback_request.begin_rollback(runner, back, by_authority=False)
            loop.run_until_blocked(runner)
            took = round(clock.monotonic() - began - self._observer.spent_back, 2)
        state = runner.state
        kind, notes = self._came_to(runner, level)
        self.back = LevelEvidence(level=level, took=took, outcome=outcome(state), verdict=kind, differences=notes)
        if level == "undo":
            self.steps = self._observer.with_undo(self.steps, state)

    def _came_to(self, runner: LiveRunner, level: str) -> tuple[Restores, tuple[str, ...]]:
        """Return what a rollback did, and what differs from before."""
        state = runner.state
        if state.status not in (Status.ROLLED_BACK, Status.PROVING):
            return Restores.FAILS, (state.held or str(state.status),)
        if level in SWITCH_LEVELS:
            return (Restores.NOT, (state.held,)) if state.held else (Restores.CHECKS_PASS, ())
        if self.start is None:
            return Restores.NOT_REACHED, ()
        with inspect_copy(runner.session.database) as looking:
            differing, misplaced = compare_snapshot(self.start, looking)
        differing = differing or ([state.held] if state.held else [])
        return verdict(differing, misplaced), (*differing, *misplaced)

    def level_evidence(self, level: str) -> LevelEvidence:
        """Return what was seen of a rollback."""
        return self.back or LevelEvidence(level=level, verdict=Restores.NOT_REACHED)
