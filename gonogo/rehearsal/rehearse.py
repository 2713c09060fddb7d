"""The rehearsal: the very plan, by the very engine, on a restored copy; forward, and back by every way that there is.

What it showed is recorded on the target, bound to the seal: only a run of just this plan on just this schema may rest on it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from gonogo import clock
from gonogo.core.engine.budgets import downtime_by_phase
from gonogo.core.engine.events import Event, Kind
from gonogo.core.engine.evolve import evolve
from gonogo.core.engine.forecast import actual_times
from gonogo.core.engine.rehearsal import Restores, shortcomings, verdict
from gonogo.core.engine.state import SWITCH_LEVELS, State, Status, outcome
from gonogo.core.plan.plan import Identity, Plan
from gonogo.core.plan.seal import evidence_seal
from gonogo.ledger import store
from gonogo.planning.planner import Prepared
from gonogo.postgres.connection import Database, identify
from gonogo.postgres.inventory import Snapshot, compare_snapshot
from gonogo.project import Project
from gonogo.recovery import data_loss, dump, restore
from gonogo.recovery.manifest import Backup, BackupFailed, read
from gonogo.rehearsal.isolation import rehearse_phases, rehearse_steps
from gonogo.rehearsal.observer import RehearsalObserver, in_turn, key_queries
from gonogo.rehearsal.sandbox import Rehearsal, Say, carried, inspect_copy, on_a_copy
from gonogo.run import launch, loop, rollback_request, targets
from gonogo.run.context import Runner
from gonogo.run.signatures import keys_of


def rehearse(
    prepared: Prepared,
    database: Database,
    project: Project,
    *,
    actor: str,
    say: Say,
    each_step: bool = False,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Rehearse a plan on a copy of its target, record what it showed on the target, and return it.

    Args:
        prepared: the plan, with its scripts.
        database: the target; it is read for the backup, and written to only for the record.
        project: whose backups and embedded server are used.
        actor: who rehearses, for the record.
        say: where its progress is told.
        each_step: whether every step's undo is proved by itself too, right after the step; also where the runbook asks for it.
        folder: a backup to rehearse on, instead of a new one.

    Raises:
        BackupFailed: the backup cannot be taken, or does not restore what was there.
        Refused: the target must not be used, or no copy of it can be made.
    """
    with targets.connect_recovering(database, "gonogo/rehearse") as connection:
        identity = identify(connection)
        store.create(connection)
    plan = prepared.plan.model_copy(update={"identity": identity})
    made = read(folder) if folder else _take(plan, database, project, say)
    _require_of(made, identity)
    run = Rehearsal(
        plan=plan,
        texts=dict(prepared.texts),
        database=database,
        project=project,
        actor=actor,
        say=say,
        each_step=each_step or bool(plan.rehearsal and plan.rehearsal.each_step),
    )
    # as JSON holds it, so that it is the same when it is read again
    evidence: dict[str, Any] = json.loads(store.encode(_evidence(run, made)))
    if plan.protected:
        evidence["signature"] = keys_of(project).sign_as_project(evidence)
    with database.connect("gonogo/rehearse") as connection:
        store.record_rehearsal(connection, plan, evidence, actor)
    return evidence


def _require_of(made: Backup, identity: Identity) -> None:
    """See that a backup is a whole one of the very target.

    Raises:
        BackupFailed: it is not.
    """
    of = (made.manifest["system"], made.manifest["database"])
    if of != (identity.system_identifier, identity.database):
        raise BackupFailed(f"{made.folder} is a backup of another database ({made.manifest['database']})")
    if made.manifest["without_rows"]:
        raise BackupFailed(f"{made.folder} leaves rows out, so nothing can be rehearsed on it; a whole one can")


def _take(plan: Plan, database: Database, project: Project, say: Say) -> Backup:
    say("taking a backup of the target")
    return dump.take(database, project.state / "backups" / f"{plan.runbook}-rehearsal-{dump.stamp()}", say)


def _evidence(run: Rehearsal, made: Backup) -> dict[str, Any]:
    began = clock.now()
    levels: list[dict[str, Any]] = []
    first: _RoundTrip | None = None
    undone: _RoundTrip | None = None
    for level in run.plan.rollback.levels:
        trip = _rehearse_level(run, made, level)
        levels.append(trip.level_evidence(level))
        first = first or trip
        undone = trip if level == "undo" else undone
        if trip.forward["outcome"] != "done":
            break
    go_seq = bool(first and first.forward["outcome"] == "done")
    phases = rehearse_phases(run, made) if go_seq and run.plan.rollback.reach == "phase" else []
    alone = rehearse_steps(run, made) if run.each_step else {}
    seen = undone or first
    steps = [{**step, **alone.get(step["step"], {})} for step in (seen.steps if seen else [])]
    evidence = {
        # what is known is as old as what it was rehearsed on
        "at": made.manifest["taken_at"],
        "took": round((clock.now() - began).total_seconds(), 1),
        "plan": run.plan.seal,
        "seal": evidence_seal(run.plan, made.manifest["schema"]),
        "schema": made.manifest["schema"],
        "target": run.plan.target,
        "on": first.where if first else "",
        "backup": first.proof if first else {},
        "rows": first.start.size if first and first.start else 0,
        "forward": first.forward if first else {},
        "tasks": first.tasks if first else {},
        "down": first.down if first else {},
        "steps": steps,
        "levels": levels,
        "phases": phases,
        "queries": first.queries if first else [],
        "each_step": run.each_step,
    }
    return {**evidence, "shortcomings": shortcomings(run.plan, evidence)}


def _rehearse_level(run: Rehearsal, made: Backup, level: str) -> _RoundTrip:
    """Go forward on a fresh copy, then back by one way."""
    run.say(f"restoring the backup for the way back by {level}")
    room = run.room
    with run.database.connect("gonogo/rehearse") as connection:
        in_place = not restore.may_swap(connection)
    with dump.restored(made, room, run.say) as (url, proof):
        trip = _RoundTrip(run=run, where=room.choose()[1], proof=proof)
        with carried(run, on_a_copy(run.plan), url) as runner:
            runner.in_place = in_place
            trip.go_forward(runner)
            if trip.forward["outcome"] == "done":
                if level == run.plan.rollback.levels[0]:
                    trip.compare_latencies(made, runner)
                trip.go_back(runner, level)
    return trip


@dataclass(kw_only=True)
class _RoundTrip:
    """What is seen of one way forward and back."""

    run: Rehearsal
    where: str
    proof: dict[str, Any]
    start: Snapshot | None = None
    forward: dict[str, Any] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)
    tasks: dict[str, float] = field(default_factory=dict)
    #: how long each phase kept the application down, in seconds
    down: dict[str, float] = field(default_factory=dict)
    queries: list[dict[str, Any]] = field(default_factory=list)
    back: dict[str, Any] = field(default_factory=dict)

    def go_forward(self, runner: Runner) -> None:
        """Run everything, taking stock before every step."""
        plan, run = runner.plan, runner.session.run
        with inspect_copy(runner.session.database) as looking:
            observer = RehearsalObserver(runner, looking)
            self.start = observer.before[0]
            self.queries = [{"check": name, "before": plan_} for name, plan_ in observer.queries.items()]
            runner.listeners.append(observer.on_event)
            began = clock.monotonic()
            launch.go(runner, len(plan.phases), self._run_phase, at_once=True)
            runner.listeners.remove(observer.on_event)
            if runner.state.status is Status.DONE:
                after = dict(key_queries(runner, looking))
                self.queries = [{**query, "after": after.get(query["check"])} for query in self.queries]
        state = runner.state
        events = store.read(runner.session.connection, run)
        self.forward = {"outcome": outcome(state), "why": state.held or state.cause or _why_no_go(events)}
        self.forward["took"] = round(clock.monotonic() - began - observer.spent, 2)
        times = actual_times(plan, events)
        self.tasks = {name: round((end - start).total_seconds(), 2) for name, (start, end) in times.items() if end}
        self.down = downtime_by_phase(plan, zip(events, list(accumulate(events, evolve, initial=State()))[1:], strict=True))
        self.steps = observer.steps(events)
        self._observer = observer

    def compare_latencies(self, made: Backup, runner: Runner) -> None:
        """Measure what the run is watched by on a fresh copy and on this one, in turn."""
        plan = self.run.plan
        watched = {name for phase in plan.phases for name in (*phase.watch, *phase.verify)}
        compared = [name for name in watched if plan.checks[name].time and plan.checks[name].needs_baseline]
        if not compared:
            return
        self.run.say("measuring the old and the new in turn")
        with dump.restored(made, self.run.room, self.run.say) as (url, _):
            old = Database(url=url, role=self.run.database.role)
            with inspect_copy(old) as before, inspect_copy(runner.session.database) as after:
                for side in (before, after):
                    side.execute("ANALYZE")
                found = in_turn(plan, runner.environment(), before, after)
        self.queries = [{**query, "latency": found.get(query["check"])} for query in self.queries]

    def _run_phase(self, runner: Runner) -> None:
        """Carry a phase; the backup that the copy was made from is the copy's own."""
        if runner.plan.backup is not None and not runner.state.backup:
            here = data_loss.oldest_running(runner.session.connection)
            runner.append(Kind.BACKED_UP, {**self.proof, "snapshot": here})
        loop.run_until_blocked(runner)

    def go_back(self, runner: Runner, level: str) -> None:
        """Turn back by one way, and compare with what there was."""
        self.run.say(f"turning back by {level}")
        with inspect_copy(runner.session.database) as looking:
            self._observer.watch_undo(looking)
            began = clock.monotonic()
            if level == "undo":
                runner.listeners.append(self._observer.on_undo)
            # nobody but the run writes to a copy
            back = rollback_request.Back(kind=Kind.ROLL_BACK, reason="rehearsed", level=level, back_to=0, accept_loss=True)
            rollback_request.begin_rollback(runner, back, by_authority=False)
            loop.run_until_blocked(runner)
            took = round(clock.monotonic() - began - self._observer.spent_back, 2)
        state = runner.state
        self.back = {"took": took, "outcome": outcome(state)}
        if state.status not in (Status.ROLLED_BACK, Status.PROVING):
            self.back |= {"verdict": Restores.FAILS, "differences": [state.held or str(state.status)]}
        elif state.held and level in SWITCH_LEVELS:
            self.back |= {"verdict": Restores.NOT, "differences": [state.held]}
        elif level in SWITCH_LEVELS:
            self.back |= {"verdict": Restores.CHECKS_PASS, "differences": []}
        elif self.start is not None:
            with inspect_copy(runner.session.database) as looking:
                differing, misplaced = compare_snapshot(self.start, looking)
            differing = differing or ([state.held] if state.held else [])
            self.back |= {"verdict": verdict(differing, misplaced), "differences": [*differing, *misplaced]}
        if level == "undo":
            self.steps = self._observer.with_undo(self.steps, state)

    def level_evidence(self, level: str) -> dict[str, Any]:
        """Return what was seen of a way back."""
        return {"level": level, **(self.back or {"took": 0, "verdict": Restores.NOT_REACHED, "differences": []})}


def _why_no_go(events: Sequence[Event]) -> str:
    return next((str(event.body.get("why")) for event in reversed(events) if event.kind is Kind.NO_GO), "")
