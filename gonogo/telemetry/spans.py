"""What a run's events say as spans: pieces of time, one in the other. Pure.

A trace is one launch of a phase. In it: the gate, each task with its scripts, verification, the watch, and the rollback with what
it undoes. The ids follow from the run and the event, so that what two processes saw of one run belongs together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gonogo.core.engine import events
from gonogo.core.engine.events import Event
from gonogo.core.engine.state import ROLLING_BACK_STATES, State
from gonogo.core.plan.plan import Plan

PHASE, GATE, VERIFY, WATCH, ROLLBACK = "phase", "gate", "verify", "watch", "rollback"
#: what is worth a mark on the phase's own span
_MARKS = (
    *(events.VoteCast, events.ItemConfirmed, events.PeopleAsked, events.HoldAsked, events.Held, events.ResumeAsked),
    *(events.Acknowledged, events.Tripped, events.WouldTrip, events.StepFailed, events.UndoFailed, events.TakenOver),
    *(events.LedgerLost, events.RollbackAsked, events.AbortAsked),
)
#: what begins with an event, what is over with one, and which of these say that it went wrong
_BEGINS = ((events.WorkDone, VERIFY), (events.Verified, WATCH))
_ENDS = (
    *((events.Go, GATE), (events.NoGo, GATE), (events.Verified, VERIFY), (events.PhaseDone, WATCH), (events.RunDone, WATCH)),
    *((events.UndoFailed, ROLLBACK), (events.RollbackNotProved, ROLLBACK), (events.RollbackProved, ROLLBACK)),
)
_WRONG = frozenset({events.NoGo, events.UndoFailed, events.RollbackNotProved})


@dataclass(frozen=True, kw_only=True)
class Span:
    """A piece of time that is over."""

    trace: int
    id: int
    #: the span that it lies in; 0 where it is the phase itself
    parent: int
    name: str
    begins: datetime
    ends: datetime
    #: why it went wrong; empty where it did not
    error: str = ""
    attributes: Mapping[str, str | int | float] = field(default_factory=dict)
    marks: tuple[tuple[datetime, str, str], ...] = ()


class Spans:
    """Makes spans of a run's events, taken in in order.

    Args:
        plan: the run's plan.
        run: its id.
    """

    def __init__(self, plan: Plan, run: str) -> None:
        self.plan, self.run = plan, run
        self._launch = 0
        self._began: dict[str, datetime] = {}
        self._marks: list[tuple[datetime, str, str]] = []

    def take_in(self, before: State, event: Event, after: State) -> list[Span]:
        """Take in the next event; return what is over with it.

        Args:
            before: where the run stood.
            event: what happened.
            after: where it stands.
        """
        return list(self._over(before, event, after))

    def _over(self, before: State, event: Event, after: State) -> Iterator[Span]:
        body = event.body
        if isinstance(body, events.PhaseStarted):
            self._launch, self._began, self._marks = event.seq, {PHASE: event.at, GATE: event.at}, []
        if not self._launch:
            return
        if isinstance(body, _MARKS):
            self._marks.append((event.at, str(event.kind), event.actor))
        if after.status in ROLLING_BACK_STATES and before.status not in ROLLING_BACK_STATES:
            why = after.rollback.cause or str(event.kind)
            for key in [key for key in self._began if key not in (PHASE, GATE)]:
                yield from self._close(key, event.at, error=why)
            self._began[ROLLBACK] = event.at
        yield from self._work(event, after)
        for ends, key in _ENDS:
            if isinstance(body, ends):
                yield from self._close(key, event.at, error=getattr(body, "why", "") if ends in _WRONG else "")
        self._began |= {key: event.at for begins, key in _BEGINS if isinstance(body, begins)}
        if isinstance(body, events.PhaseDone | events.RunDone | events.NoGo | events.RollbackProved):
            error = after.rollback.cause or body.why if isinstance(body, events.NoGo | events.RollbackProved) else ""
            yield from self._close(PHASE, event.at, error=error, outcome=str(event.kind))

    def _work(self, event: Event, after: State) -> Iterator[Span]:
        """Yield what a script that is done, or undone, is."""
        body = event.body
        if isinstance(body, events.UndoDone):
            name = f"undo {self.plan.steps[body.step].name}"
            yield self._span(f"{name} {event.seq}", _began(event, body.took), event.at, name=name, parent=ROLLBACK)
        if not isinstance(body, events.ScriptStarted | events.ScriptDone | events.BatchDone):
            return
        if after.status in ROLLING_BACK_STATES:
            return
        step = self.plan.steps[body.step]
        task, took = self.plan.task(step.task), getattr(body, "took", None)
        key = f"task {task.name}"
        self._began.setdefault(key, _began(event, took))
        if isinstance(body, events.ScriptDone):
            more = {"gonogo.step": step.name, "gonogo.kind": step.kind} | ({"gonogo.rows": body.rows} if body.rows else {})
            name = step.name if step.units == 1 else f"{step.name}.{body.script + 1}"
            yield self._span(f"{name} {event.seq}", _began(event, took), event.at, name=name, parent=key, more=more)
            if body.last and body.step == task.last:
                yield from self._close(key, event.at, name=task.title)

    def _close(self, key: str, at: datetime, *, error: str = "", outcome: str = "", name: str = "") -> Iterator[Span]:
        began = self._began.pop(key, None)
        if began is None:
            return
        if key != PHASE:
            yield self._span(key, began, at, name=name or key, parent=PHASE, error=error)
            return
        named = {"runbook": self.plan.runbook, "target": self.plan.target, "run": self.run, "outcome": outcome}
        more: dict[str, str | int] = {f"gonogo.{name}": value for name, value in named.items()}
        yield self._span(key, began, at, name=f"gonogo {self.plan.runbook}", error=error, more=more, marks=tuple(self._marks))

    def _span(
        self,
        key: str,
        begins: datetime,
        ends: datetime,
        *,
        name: str,
        parent: str = "",
        error: str = "",
        more: Mapping[str, str | int] | None = None,
        marks: tuple[tuple[datetime, str, str], ...] = (),
    ) -> Span:
        return Span(
            trace=self._number("", 16),
            id=self._number(key, 8),
            parent=self._number(parent, 8) if parent else 0,
            name=name,
            # a clock that was put back makes no span that ends before it begins
            begins=min(begins, ends),
            ends=ends,
            error=error,
            attributes={**(more or {}), "gonogo.run": self.run},
            marks=marks,
        )

    def _number(self, key: str, size: int) -> int:
        """Return an id of some bytes; 0 is none."""
        text = f"{self.run}\0{self._launch}\0{key}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size], "big") or 1


def _began(event: Event, took: float | None) -> datetime:
    return event.began if took is None else event.at - timedelta(seconds=took)
