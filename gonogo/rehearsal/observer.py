"""The observer of a rehearsal: what each step cost, and whether its undo led back to what was there before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple

from checks.kind import CheckEnvironment
from checks.measure import measure
from gonogo import clock
from gonogo.core.engine.decide import next_to_undo
from gonogo.core.engine.events import (
    BatchDone,
    Event,
    LatencyCompared,
    PlanOfQuery,
    QueryCost,
    ScriptDone,
    ScriptStarted,
    StepEvidence,
    UndoDone,
)
from gonogo.core.engine.percentiles import summarise
from gonogo.core.engine.rehearsal import Restores, verdict
from gonogo.core.engine.state import State, Status
from gonogo.core.engine.verdict import Measurement, Verdict, judge
from gonogo.core.plan.plan import Plan
from gonogo.postgres.connection import Connection, as_the_role_sees
from gonogo.postgres.explain import query_plan
from gonogo.postgres.inventory import Snapshot, compare_snapshot, snapshot_differences, take_snapshot
from gonogo.rehearsal import lock_recorder
from gonogo.rehearsal.isolation import Undone
from gonogo.run.acquire import LiveRunner


class _Cost(NamedTuple):
    """What a step cost: bytes of WAL, the tables that it rewrote, its locks, what it did to the key queries."""

    wal: int
    rewrites: tuple[str, ...]
    locks: tuple[str, ...]
    queries: dict[str, QueryCost]


class RehearsalObserver:
    """Looks at the copy between the steps: what each one cost, and whether its undo led back to what was there before it."""

    def __init__(self, runner: LiveRunner, looking: Connection) -> None:
        self.plan, self.looking, self.runner = runner.plan, looking, runner
        self.before: dict[int, Snapshot] = {0: take_snapshot(looking)}
        self.spent = self.spent_back = 0.0
        self._cost: dict[int, _Cost] = {}
        self._undo: dict[int, Undone] = {}
        self._told: set[str] = set()
        self.queries = dict(key_queries(runner, looking))
        self._files, self._wal = lock_recorder.files(looking), lock_recorder.wal_position(looking)

    def on_event(self, before: State, _: Event, after: State) -> None:
        """Look, whenever a step is done."""
        if after.work.step == before.work.step or after.status is not Status.WORKING:
            return
        began, number = clock.monotonic(), before.work.step
        step = self.plan.steps[number]
        files, wal = lock_recorder.files(self.looking), lock_recorder.wal_position(self.looking)
        rewritten = [was.name for oid, was in self._files.items() if oid in files and files[oid].node != was.node]
        locks = dict.fromkeys(
            lock for script in step.scripts for lock in lock_recorder.locks_of(self.looking, script, self._files)
        )
        # what cannot be transactional cannot write its locks down; the manual's rule stands in
        locks |= dict.fromkeys(lock for script in step.scripts if not script.transactional for lock in script.locks)
        queries = self._compare_queries() if step.row.changes else {}
        self._cost[number] = _Cost(wal - self._wal, tuple(rewritten), tuple(locks), queries)
        self.before[after.work.step] = take_snapshot(self.looking) if step.row.changes else self.before[number]
        self._files, self._wal = lock_recorder.files(self.looking), lock_recorder.wal_position(self.looking)
        self.spent += clock.monotonic() - began

    def _compare_queries(self) -> dict[str, QueryCost]:
        """Return what the key queries cost before and after a step, and whether their plan is another; buffers have no noise."""
        was, self.queries = self.queries, dict(key_queries(self.runner, self.looking))
        return {
            name: QueryCost(
                buffers=(was[name].buffers, now.buffers),
                ms=(was[name].ms, now.ms),
                another_plan=was[name].shape != now.shape,
            )
            for name, now in self.queries.items()
        }

    def watch_undo(self, looking: Connection) -> None:
        """Get ready to look at the rollback, on a connection of its own."""
        self.looking = looking

    def on_undo(self, _: State, event: Event, __: State) -> None:
        """Compare, whenever a step is undone."""
        if not isinstance(event.body, UndoDone) or not event.body.last:
            return
        began, number = clock.monotonic(), event.body.step
        differing, misplaced = compare_snapshot(self.before[number], self.looking)
        # what a later step's undo left behind is told there
        own = [notes for notes in differing if notes not in self._told]
        self._told |= {*differing, *misplaced}
        self._undo[number] = Undone(verdict(own, misplaced), (*own, *misplaced))
        self.spent_back += clock.monotonic() - began

    def steps(self, events: Sequence[Event]) -> tuple[StepEvidence, ...]:
        """Return what each step cost; how long it took is how long it held its locks, at most."""
        took: dict[int, float] = {}
        started: Event | None = None
        for event in events:
            body = event.body
            if isinstance(body, ScriptStarted | ScriptDone | BatchDone):
                # what runs alone began with the event before it
                began = started.at if started is not None and isinstance(body, ScriptDone) else event.began
                started = event if isinstance(body, ScriptStarted) else None
                took[body.step] = took.get(body.step, 0.0) + (event.at - began).total_seconds()
        nothing = _Cost(0, (), (), {})
        return tuple(
            StepEvidence(
                step=step.name,
                step_kind=step.kind,
                took=round(took.get(number, 0.0), 3),
                verdict=Restores.NO_UNDO if step.undo is None else Restores.NOT_REACHED,
                **self._cost.get(number, nothing)._asdict(),
            )
            for number, step in enumerate(self.plan.steps)
            if step.row.changes
        )

    def with_undo(self, steps: Sequence[StepEvidence], state: State) -> tuple[StepEvidence, ...]:
        """Add what each undo did."""
        numbers = {step.name: number for number, step in enumerate(self.plan.steps)}
        remains = next_to_undo(self.plan, state)
        notes = []
        for step in steps:
            number = numbers[step.step]
            found = self._undo.get(number)
            if found is None and self.plan.steps[number].undo == () and (remains is None or remains < number):
                found = self._undo_of_nothing(number)
            if found is None and number == remains:
                found = Undone(Restores.FAILS, (state.held,))
            notes.append(found.put_into(step) if found else step)
        return tuple(notes)

    def _undo_of_nothing(self, number: int) -> Undone:
        """See whether a step that is said to leave nothing to undo left nothing."""
        differing = snapshot_differences(self.before[number], self.before[number + 1]) if number + 1 in self.before else []
        return Undone(verdict(differing, ()), tuple(differing))


#: how often the old and the new are measured in turn
_TURNS = 5


def in_turn(plan: Plan, environment: CheckEnvironment, old: Connection, new: Connection) -> dict[str, LatencyCompared]:
    """Return how the latencies that a run is watched by have changed, measured on the old and the new in turn.

    A slow moment of the machine hits both, so that the difference is that of the change.

    Args:
        plan: whose checks.
        environment: what they need.
        old: a copy as it was.
        new: a copy as the run leaves it.
    """
    found = {}
    for name in dict.fromkeys(name for phase in plan.phases for name in (*phase.watch, *phase.verify)):
        check = plan.checks[name]
        if check.time is None or check.breach is None or not check.breach.needs_baseline:
            continue
        pairs = [[measure(plan, name, environment, side) for side in (old, new)] for _ in range(_TURNS)]
        before, after = (_pooled([pair[side] for pair in pairs]) for side in (0, 1))
        if before is None or after is None:
            continue
        judged = judge(check.breach, after, before, at_least=check.least, surely=True)
        found[name] = LatencyCompared(
            before=before.numbers["p50"],
            after=after.numbers["p50"],
            slower=judged.verdict is Verdict.PASS,
            says=judged.sentence,
        )
    return found


def _pooled(rounds: Sequence[Measurement]) -> Measurement | None:
    """Return several measurements of the same as one; None where one of them failed."""
    if any(found.error or found.missing or found.facts for found in rounds):
        return None
    calls = [call for found in rounds for call in found.samples]
    pace = [found.yardstick for found in rounds if found.yardstick is not None]
    yardstick = median(pace) if pace else None
    first = rounds[0]
    return first.model_copy(
        update={"numbers": summarise(calls), "samples": tuple(calls), "count": len(calls), "yardstick": yardstick}
    )


def key_queries(runner: LiveRunner, looking: Connection) -> Iterator[tuple[str, PlanOfQuery]]:
    """Yield the plans of the queries whose latency the runbook measures."""
    plan = runner.plan
    for name, check in plan.checks.items():
        if (check.time or check.buffers) and name in plan.questions:
            try:
                with as_the_role_sees(looking):
                    found = query_plan(looking, runner.session.texts[plan.questions[name].sha256])
                yield name, found
            except Exception as error:  # noqa: BLE001 - a query that cannot be explained is told, and nothing else
                yield name, PlanOfQuery(shape=(str(error).strip()[:200],))
