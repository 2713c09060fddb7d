"""The rehearsal: the very plan, by the very engine, on a restored copy; forward, and back by every way that there is.

What it showed is recorded on the target, bound to the seal: only a run of just this plan on just this schema may rest on it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from flows import launch
from flows.decide import keys_of, signer
from flows.loop import Conductor, embark
from flows.witness import Witness, in_turn, key_queries
from gonogo import backup, clock, ledger, loss, observe, restore, scratch
from gonogo.core.event import Event, Kind
from gonogo.core.plan import Identity, Plan, PlannedStep
from gonogo.core.rehearsal import GOOD, Restores, shortcomings, verdict
from gonogo.core.runbook import Updates
from gonogo.core.schedule import actual_times
from gonogo.core.seal import evidence_seal
from gonogo.core.state import SHALLOW, State, Status, outcome
from gonogo.core.way_back import Rollback
from gonogo.database import Connection, Database, identify, transaction
from gonogo.house import Project
from gonogo.manifest import Backup, BackupFailed, read
from gonogo.planning import Prepared
from gonogo.stock import Stock, compare_stock, stock_differences, take_stock

Say = Callable[[str], None]
NOTHING = timedelta(0)


@dataclass(kw_only=True)
class Rehearsal:
    """One rehearsal of a plan."""

    plan: Plan
    texts: dict[str, str]
    database: Database
    project: Project
    actor: str
    say: Say
    each_step: bool = False

    @property
    def room(self) -> scratch.Room:
        """Where its copies may be made."""
        beside = scratch.room_of(self.database, self.plan.rehearse_on, self.project.state)
        if beside.server or not any(script.shared for script in self.plan.scripts):
            return beside
        # what it says of roles and databases would be true of the target's whole server
        return replace(beside, server=beside.spare(), called=scratch.EMBEDDED)


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
    with launch.let_in(database, "gonogo/rehearse") as connection:
        identity = identify(connection)
        ledger.create(connection)
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
    evidence: dict[str, Any] = json.loads(ledger.encode(_evidence(run, made)))
    if plan.protected:
        evidence["signature"] = keys_of(project).sign_as_house(evidence)
    with database.connect("gonogo/rehearse") as connection:
        ledger.keep_rehearsal(connection, plan, evidence, actor)
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
    return backup.take(database, project.state / "backups" / f"{plan.runbook}-rehearsal-{backup.stamp()}", say)


def _evidence(run: Rehearsal, made: Backup) -> dict[str, Any]:
    began = clock.now()
    levels: list[dict[str, Any]] = []
    first: _Passage | None = None
    undone: _Passage | None = None
    for level in run.plan.rollback.levels:
        passage = _rehearse_level(run, made, level)
        levels.append(passage.level_evidence(level))
        first = first or passage
        undone = passage if level == "undo" else undone
        if passage.forward["outcome"] != "done":
            break
    went = bool(first and first.forward["outcome"] == "done")
    phases = _rehearse_phases(run, made) if went and run.plan.rollback.reach == "phase" else []
    alone = _rehearse_steps(run, made) if run.each_step else {}
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
        "steps": steps,
        "levels": levels,
        "phases": phases,
        "queries": first.queries if first else [],
        "each_step": run.each_step,
    }
    return {**evidence, "shortcomings": shortcomings(run.plan, evidence)}


def _rehearse_level(run: Rehearsal, made: Backup, level: str) -> _Passage:
    """Go forward on a fresh copy, then back by one way."""
    run.say(f"restoring the backup for the way back by {level}")
    room = run.room
    with run.database.connect("gonogo/rehearse") as connection:
        in_place = not restore.may_swap(connection)
    with backup.restored(made, room, run.say) as (url, proof):
        passage = _Passage(run=run, where=room.choose()[1], proof=proof)
        with _carried(run, on_a_copy(run.plan), url) as conductor:
            conductor.in_place = in_place
            passage.go_forward(conductor)
            if passage.forward["outcome"] == "done":
                if level == run.plan.rollback.levels[0]:
                    passage.compare_latencies(made, conductor)
                passage.go_back(conductor, level)
    return passage


def on_a_copy(plan: Plan) -> Plan:
    """Return the plan as it runs on a copy: the same work and checks, but nobody is asked or told, and no clock waited for."""
    quiet = dict(before=(), approve=None, after=(), watch=(), soak=NOTHING)
    kept = plan.backup.model_copy(update={"after": False, "each_phase": False}) if plan.backup else None
    return plan.model_copy(
        update=dict(
            protected=False,
            identity=None,
            windows=(),
            freezes=(),
            environment=(),
            end_by=None,
            updates=Updates(),
            backup=kept,
            rehearsal=None,
            rollback=plan.rollback.model_copy(update={"authority": None, "takes": None}),
            phases=tuple(phase.model_copy(update=quiet) for phase in plan.phases),
            steps=tuple(map(_step_on_a_copy, plan.steps)),
        )
    )


def _step_on_a_copy(step: PlannedStep) -> PlannedStep:
    """Return a step as it is rehearsed: nobody is asked, and no program runs that would reach beyond the copy."""
    if step.kind == "run" and not step.in_rehearsal:
        nothing = dict(kind="confirm", scripts=(), undo=(), program=None, undo_program=None)
        return step.model_copy(update={"confirm": (), **nothing})
    return step.model_copy(update={"confirm": ()})


@contextmanager
def _carried(run: Rehearsal, plan: Plan, url: str) -> Iterator[Conductor]:
    """Open a run on a copy, ready to go."""
    copy = Database(url=url, role=run.database.role)
    with copy.connect("gonogo/rehearse") as connection:
        connection.execute("ANALYZE")
        ledger.create(connection)
        if connection.execute("SELECT pg_catalog.to_regclass('gonogo.seen_lock')").fetchone() == (None,):
            connection.execute(observe.MAKE.encode())
        with transaction(connection):
            identity = identify(connection)
            known = plan.model_copy(update={"identity": identity})
            name = ledger.open_run(connection, known, run.texts, run.actor, signer(known, keys_of(run.project)))
    conductor = embark(copy, name, actor=run.actor, keys=keys_of(run.project), session_type=observe.ObservedSession)
    conductor.room, conductor.root = run.project.state, run.project.files
    conductor.session.say = run.say
    try:
        yield conductor
    finally:
        conductor.close()


@contextmanager
def _looking(copy: Database) -> Iterator[Connection]:
    """Look at a copy, for as long as that takes."""
    with copy.connect("gonogo/witness") as connection:
        connection.execute("SET statement_timeout = 0")
        yield connection


@dataclass(kw_only=True)
class _Passage:
    """What is seen of one way forward and back."""

    run: Rehearsal
    where: str
    proof: dict[str, Any]
    start: Stock | None = None
    forward: dict[str, Any] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)
    tasks: dict[str, float] = field(default_factory=dict)
    queries: list[dict[str, Any]] = field(default_factory=list)
    back: dict[str, Any] = field(default_factory=dict)

    def go_forward(self, conductor: Conductor) -> None:
        """Run everything, taking stock before every step."""
        plan, run = conductor.plan, conductor.session.run
        with _looking(conductor.session.database) as looking:
            witness = Witness(conductor, looking)
            self.start = witness.before[0]
            self.queries = [{"check": name, "before": plan_} for name, plan_ in key_queries(conductor, looking)]
            conductor.listeners.append(witness.hear)
            began = clock.monotonic()
            launch.go(conductor, len(plan.phases), self._pursue, at_once=True)
            conductor.listeners.remove(witness.hear)
            if conductor.state.status is Status.DONE:
                after = dict(key_queries(conductor, looking))
                self.queries = [{**query, "after": after.get(query["check"])} for query in self.queries]
        state = conductor.state
        events = ledger.read(conductor.session.connection, run)
        self.forward = {"outcome": outcome(state), "why": state.held or state.cause or _why_no_go(events)}
        self.forward["took"] = round(clock.monotonic() - began - witness.spent, 2)
        times = actual_times(plan, events)
        self.tasks = {name: round((end - start).total_seconds(), 2) for name, (start, end) in times.items() if end}
        self.steps = witness.steps(events)
        self._witness = witness

    def compare_latencies(self, made: Backup, conductor: Conductor) -> None:
        """Measure what the run is watched by on a fresh copy and on this one, in turn."""
        plan = self.run.plan
        watched = {name for phase in plan.phases for name in (*phase.watch, *phase.verify)}
        compared = [name for name in watched if plan.checks[name].time and plan.checks[name].needs_baseline]
        if not compared:
            return
        self.run.say("measuring the old and the new in turn")
        with backup.restored(made, self.run.room, self.run.say) as (url, _):
            old = Database(url=url, role=self.run.database.role)
            with _looking(old) as before, _looking(conductor.session.database) as after:
                for side in (before, after):
                    side.execute("ANALYZE")
                found = in_turn(plan, conductor.around(), before, after)
        self.queries = [{**query, "latency": found.get(query["check"])} for query in self.queries]

    def _pursue(self, conductor: Conductor) -> None:
        """Carry a phase; the backup that the copy was made from is the copy's own."""
        if conductor.plan.backup is not None and not conductor.state.backup:
            here = loss.oldest_running(conductor.session.connection)
            conductor.append(Kind.BACKED_UP, {**self.proof, "snapshot": here})
        conductor.pursue()

    def go_back(self, conductor: Conductor, level: str) -> None:
        """Turn back by one way, and compare with what there was."""
        self.run.say(f"turning back by {level}")
        with _looking(conductor.session.database) as looking:
            self._witness.look_back(looking)
            began = clock.monotonic()
            if level == "undo":
                conductor.listeners.append(self._witness.hear_back)
            # nobody but the run writes to a copy
            back = launch.Back(kind=Kind.ROLL_BACK, reason="rehearsed", level=level, back_to=0, accept_loss=True)
            launch.turn_back(conductor, back, by_authority=False)
            conductor.pursue()
            took = round(clock.monotonic() - began - self._witness.spent_back, 2)
        state = conductor.state
        self.back = {"took": took, "outcome": outcome(state)}
        if state.status not in (Status.ROLLED_BACK, Status.PROVING):
            self.back |= {"verdict": Restores.FAILS, "differences": [state.held or str(state.status)]}
        elif state.held and level in SHALLOW:
            self.back |= {"verdict": Restores.NOT, "differences": [state.held]}
        elif level in SHALLOW:
            self.back |= {"verdict": Restores.CHECKS_PASS, "differences": []}
        elif self.start is not None:
            with _looking(conductor.session.database) as looking:
                differing, misplaced = compare_stock(self.start, looking)
            differing = differing or ([state.held] if state.held else [])
            self.back |= {"verdict": verdict(differing, misplaced), "differences": [*differing, *misplaced]}
        if level == "undo":
            self.steps = self._witness.with_undo(self.steps, state)

    def level_evidence(self, level: str) -> dict[str, Any]:
        """Return what was seen of a way back."""
        return {"level": level, **(self.back or {"took": 0, "verdict": Restores.NOT_REACHED, "differences": []})}


def _why_no_go(events: Sequence[Event]) -> str:
    return next((str(event.body.get("why")) for event in reversed(events) if event.kind is Kind.NO_GO), "")


# each phase, and each step, by itself


def _rehearse_phases(run: Rehearsal, made: Backup) -> list[dict[str, Any]]:
    """Take each later phase forward, back to its start, compare, and take it forward again."""
    found: list[dict[str, Any]] = []
    run.say("turning back each phase by itself")
    plan = on_a_copy(run.plan)
    with backup.restored(made, run.room, run.say) as (url, _), _carried(run, plan, url) as conductor:
        # the plan that was signed, without a backup of a copy
        plan = conductor.plan = conductor.plan.model_copy(update={"backup": None})
        launch.go(conductor, 1, launch.carry_plainly, at_once=True)
        for number, phase in list(enumerate(plan.phases))[1:]:
            with _looking(conductor.session.database) as looking:
                before = take_stock(looking)
                launch.go(conductor, 1, launch.carry_plainly, at_once=True)
                if stays := _not_done(conductor.state, number):
                    found.append({"phase": phase.name, "took": 0, "verdict": Restores.FAILS, "differences": [stays]})
                    break
                began = clock.monotonic()
                back = launch.Back(kind=Kind.ROLL_BACK, reason="rehearsed", level="undo", back_to=number, accept_loss=True)
                launch.turn_back(conductor, back, by_authority=False)
                conductor.pursue()
                took = round(clock.monotonic() - began, 2)
                differing, misplaced = compare_stock(before, looking)
            state = conductor.state
            kind = Restores.FAILS if state.held and not differing else verdict(differing, misplaced)
            told = list(filter(None, (*differing, *misplaced, state.held)))
            found.append({"phase": phase.name, "took": took, "verdict": kind, "differences": told})
            if not state.came_back:
                break
            launch.go(conductor, 1, launch.carry_plainly, at_once=True)
    return found


def _not_done(state: State, number: int) -> str:
    """Say why a phase was not done, or nothing where it was."""
    if state.status is Status.DONE or (state.status is Status.READY and state.phase > number and not state.held):
        return ""
    return f"it did not go forward: {state.held or state.cause or state.status}"


def _rehearse_steps(run: Rehearsal, made: Backup) -> dict[str, dict[str, Any]]:
    """Take each step up, undo it, compare, and take it up again, so that a later undo cannot hide what an earlier one misses."""
    found: dict[str, dict[str, Any]] = {}
    run.say("proving each step's undo by itself")
    with backup.restored(made, run.room, run.say) as (url, _):
        for number, step in enumerate(run.plan.steps):
            if step.kind not in ("sql", "backfill"):
                continue
            alone = only_step(on_a_copy(run.plan), number)
            with _looking(Database(url=url, role=run.database.role)) as looking:
                before = take_stock(looking)
                if step.undo:
                    with _carried(run, alone, url) as conductor:
                        found[step.name] = _up_and_back(conductor, before, looking)
                    if found[step.name]["verdict"] not in GOOD:
                        break  # the copy is not what it was any more
            with _carried(run, alone, url) as conductor:
                launch.go(conductor, 1, launch.carry_plainly, at_once=True)
                if conductor.state.status is not Status.DONE:
                    why = f"after its undo it does not go forward again: {conductor.state.held or conductor.state.cause}"
                    found[step.name] = {"verdict": Restores.FAILS, "differences": [why]}
                    break
            if step.undo == ():
                with _looking(Database(url=url, role=run.database.role)) as looking:
                    left = stock_differences(before, take_stock(looking))
                found[step.name] = {"verdict": verdict(left, ()), "differences": left}
    return found


def only_step(plan: Plan, number: int) -> Plan:
    """Return a plan that does one step of another, and checks nothing but what its undo leaves."""
    step = plan.steps[number]
    task = plan.task(step.task)
    bare = dict(go_if=(), verify=(), first=0, last=0)
    return plan.model_copy(
        update=dict(
            phases=(plan.phases[step.phase].model_copy(update=bare),),
            tasks=(task.model_copy(update={"phase": 0, "first": 0, "last": 0}),),
            steps=(step.model_copy(update={"phase": 0}),),
            baseline=(),
            backup=None,
            rollback=Rollback(),
        )
    )


def up_and_back(run: Rehearsal, alone: Plan, url: str) -> dict[str, Any]:
    """Take one step up and back on a database, and say whether that is as it was.

    Args:
        run: whose scripts.
        alone: the plan that does only this step.
        url: the database.
    """
    with _looking(Database(url=url, role=run.database.role)) as looking:
        before = take_stock(looking)
        with _carried(run, alone, url) as conductor:
            return _up_and_back(conductor, before, looking)


def _up_and_back(conductor: Conductor, before: Stock, looking: Connection) -> dict[str, Any]:
    launch.go(conductor, 1, launch.carry_plainly, at_once=True)
    if (state := conductor.state).status is not Status.DONE:
        return {"verdict": Restores.FAILS, "differences": [state.held or state.cause]}
    back = launch.Back(kind=Kind.ROLL_BACK, reason="rehearsed", level="undo", accept_loss=True)
    launch.turn_back(conductor, back, by_authority=False)
    conductor.pursue()
    differing, misplaced = compare_stock(before, looking)
    state = conductor.state
    if state.status is Status.ROLLING_BACK or (state.held and not differing):
        return {"verdict": Restores.FAILS, "differences": [state.held]}
    return {"verdict": verdict(differing, misplaced), "differences": [*differing, *misplaced]}
