"""The witness of a rehearsal: what each step cost, and whether its undo led back to what was there before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

import checks
from checks.latency import summarise
from flows.loop import Conductor
from gonogo import clock, observe
from gonogo.core.engine import undoable
from gonogo.core.event import Event, Kind
from gonogo.core.plan import Plan
from gonogo.core.rehearsal import Restores, verdict
from gonogo.core.state import State, Status
from gonogo.core.verdict import Measurement, Verdict, judge
from gonogo.database import Connection
from gonogo.stock import Stock, compare_stock, stock_differences, take_stock


class Witness:
    """Looks at the copy between the steps: what each one cost, and whether its undo led back to what was there before it."""

    def __init__(self, conductor: Conductor, looking: Connection) -> None:
        self.plan, self.looking, self.conductor = conductor.plan, looking, conductor
        self.before: dict[int, Stock] = {0: take_stock(looking)}
        self.spent = self.spent_back = 0.0
        self._cost: dict[int, dict[str, Any]] = {}
        self._undo: dict[int, dict[str, Any]] = {}
        self._told: set[str] = set()
        self.queries = dict(key_queries(conductor, looking))
        self._files, self._wal = observe.files(looking), observe.wal_position(looking)

    def hear(self, before: State, _: Event, after: State) -> None:
        """Look, whenever a step is done."""
        if after.step == before.step or after.status is not Status.WORKING:
            return
        began = clock.monotonic()
        step = self.plan.steps[before.step]
        files, wal = observe.files(self.looking), observe.wal_position(self.looking)
        rewritten = [was.name for oid, was in self._files.items() if oid in files and files[oid].node != was.node]
        locks = dict.fromkeys(lock for script in step.scripts for lock in observe.locks_of(self.looking, script, self._files))
        # what cannot be transactional cannot write its locks down; the manual's rule stands in
        locks |= dict.fromkeys(lock for script in step.scripts if not script.transactional for lock in script.locks)
        changes = step.kind in ("sql", "backfill")
        queries = self._compare_queries() if changes else {}
        self._cost[before.step] = {"wal": wal - self._wal, "rewrites": rewritten, "locks": list(locks), "queries": queries}
        self.before[after.step] = take_stock(self.looking) if changes else self.before[before.step]
        self._files, self._wal = observe.files(self.looking), observe.wal_position(self.looking)
        self.spent += clock.monotonic() - began

    def _compare_queries(self) -> dict[str, dict[str, Any]]:
        """Return what the key queries cost before and after a step, and whether their plan is another; buffers have no noise."""
        was, self.queries = self.queries, dict(key_queries(self.conductor, self.looking))
        return {
            name: {
                "buffers": [was[name]["buffers"], now["buffers"]],
                "ms": [was[name].get("ms", 0.0), now.get("ms", 0.0)],
                "another_plan": was[name]["shape"] != now["shape"],
            }
            for name, now in self.queries.items()
        }

    def look_back(self, looking: Connection) -> None:
        """Get ready to look at the way back, on a connection of its own."""
        self.looking = looking

    def hear_back(self, _: State, event: Event, __: State) -> None:
        """Compare, whenever a step is undone."""
        if event.kind is not Kind.UNDONE or not event.body["last"]:
            return
        began = clock.monotonic()
        number = int(event.body["step"])
        differing, misplaced = compare_stock(self.before[number], self.looking)
        # what a later step's undo left behind is told there
        own = [told for told in differing if told not in self._told]
        self._told |= {*differing, *misplaced}
        self._undo[number] = {"verdict": verdict(own, misplaced), "differences": [*own, *misplaced]}
        self.spent_back += clock.monotonic() - began

    def steps(self, events: Sequence[Event]) -> list[dict[str, Any]]:
        """Return what each step cost; how long it took is how long it held its locks, at most."""
        took: dict[int, float] = {}
        started: Event | None = None
        for event in events:
            if event.kind in (Kind.STARTED, Kind.DONE, Kind.BATCH):
                number = int(event.body["step"])
                # what runs alone began with the fact before it
                began = started.at if started is not None and event.kind is Kind.DONE else event.began
                started = event if event.kind is Kind.STARTED else None
                took[number] = took.get(number, 0.0) + (event.at - began).total_seconds()
        return [
            {
                "step": step.name,
                "kind": step.kind,
                "took": round(took.get(number, 0.0), 3),
                **self._cost.get(number, {"wal": 0, "rewrites": [], "locks": [], "queries": {}}),
                "verdict": Restores.NO_UNDO if step.undo is None else Restores.NOT_REACHED,
                "differences": [],
            }
            for number, step in enumerate(self.plan.steps)
            if step.kind in ("sql", "backfill")
        ]

    def with_undo(self, steps: list[dict[str, Any]], state: State) -> list[dict[str, Any]]:
        """Add what each undo did."""
        numbers = {step.name: number for number, step in enumerate(self.plan.steps)}
        remains = undoable(self.plan, state)
        told = []
        for step in steps:
            number = numbers[step["step"]]
            found = self._undo.get(number)
            if found is None and self.plan.steps[number].undo == () and (remains is None or remains < number):
                found = self._undo_of_nothing(number)
            if found is None and number == remains:
                found = {"verdict": Restores.FAILS, "differences": [state.held]}
            told.append({**step, **(found or {})})
        return told

    def _undo_of_nothing(self, number: int) -> dict[str, Any]:
        """See whether a step that is said to leave nothing to undo left nothing."""
        differing = stock_differences(self.before[number], self.before[number + 1]) if number + 1 in self.before else []
        return {"verdict": verdict(differing, ()), "differences": differing}


#: how often the old and the new are measured in turn
_TURNS = 5


def in_turn(plan: Plan, around: checks.Around, old: Connection, new: Connection) -> dict[str, dict[str, Any]]:
    """Return how the latencies that a run is watched by have changed, measured on the old and the new in turn.

    A slow moment of the machine hits both, so that the difference is that of the change.

    Args:
        plan: whose checks.
        around: what they need.
        old: a copy as it was.
        new: a copy as the run leaves it.
    """
    found = {}
    for name in dict.fromkeys(name for phase in plan.phases for name in (*phase.watch, *phase.verify)):
        check = plan.checks[name]
        if check.time is None or check.breach is None or not check.breach.needs_baseline:
            continue
        pairs = [[checks.measure(plan, name, around, side) for side in (old, new)] for _ in range(_TURNS)]
        before, after = (_pooled([pair[side] for pair in pairs]) for side in (0, 1))
        if before is None or after is None:
            continue
        judged = judge(check.breach, after, before, at_least=check.least, surely=True)
        found[name] = {
            "before": before.numbers["p50"],
            "after": after.numbers["p50"],
            "slower": judged.verdict is Verdict.PASS,
            "says": judged.sentence,
        }
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


def key_queries(conductor: Conductor, looking: Connection) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the plans of the queries whose latency the runbook measures."""
    plan = conductor.plan
    for name, check in plan.checks.items():
        if (check.time or check.buffers) and name in plan.questions:
            try:
                yield name, observe.query_plan(looking, conductor.session.texts[plan.questions[name].sha256])
            except Exception as error:  # noqa: BLE001 - a query that cannot be explained is told, and nothing else
                yield name, {"shape": [str(error).strip()[:200]], "buffers": 0, "ms": 0.0}
