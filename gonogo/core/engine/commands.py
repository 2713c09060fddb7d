"""What `decide` can answer. Each command says which stretch of work it belongs to.

What performs it is in `gonogo/run/actions.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gonogo.core.engine.events import Body
from gonogo.core.engine.state import State, Status
from gonogo.core.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class Command:
    """Something to do next."""

    def stage(self, plan: Plan, state: State) -> str:
        """Name the stretch of work that it belongs to: its task, or what surrounds the tasks."""
        del plan
        return "soak" if state.status is Status.SOAKING else "record"


@dataclass(frozen=True, slots=True)
class _AtGate(Command):
    def stage(self, plan: Plan, state: State) -> str:
        del plan, state
        return "gate"


@dataclass(frozen=True, slots=True)
class MeasureBaseline(_AtGate):
    """Measure the checks and the schema before the first change."""


@dataclass(frozen=True, slots=True)
class LookUpRehearsal(_AtGate):
    """Look up what is known of the rehearsal of this very plan."""


@dataclass(frozen=True, slots=True)
class JudgeGate(_AtGate):
    """Measure the gate's criteria and say go or no-go."""


@dataclass(frozen=True, slots=True)
class TakeBackup(Command):
    """Take a backup before the first change, restore it, and compare."""

    def stage(self, plan: Plan, state: State) -> str:
        """Name the backup."""
        del plan, state
        return "backup"


@dataclass(frozen=True, slots=True)
class Wait(Command):
    """Let time pass until a moment; events may arrive meanwhile."""

    until: datetime
    why: str

    def stage(self, plan: Plan, state: State) -> str:
        """Name the task, the gate or the soak that it waits in."""
        if state.status is Status.WORKING:
            return plan.steps[state.work.step].task
        waits_at_gate = state.status in (Status.GATING, Status.DECIDING)
        return "gate" if waits_at_gate else Command.stage(self, plan, state)


@dataclass(frozen=True, slots=True)
class AskPeople(Command):
    """Ask people to confirm something, and let them know."""

    items: tuple[str, ...]
    #: the step that waits for it; past the last one, the end of the phase
    step: int

    def stage(self, plan: Plan, state: State) -> str:
        """Name the task, or the soak."""
        return plan.steps[self.step].task if state.status is Status.WORKING else Command.stage(self, plan, state)


@dataclass(frozen=True, slots=True)
class Perform(Command):
    """Run one script, the next batches of a backfill, or whatever else a step does."""

    step: int
    script: int

    def stage(self, plan: Plan, state: State) -> str:
        """Name the task."""
        del state
        return plan.steps[self.step].task


@dataclass(frozen=True, slots=True)
class Resolve(Perform):
    """Find out whether a script in doubt happened."""


@dataclass(frozen=True, slots=True)
class Verify(Command):
    """Measure the checks that must pass when a phase's work is done."""

    def stage(self, plan: Plan, state: State) -> str:
        """Name the verification."""
        del plan, state
        return "verify"


@dataclass(frozen=True, slots=True)
class RunUndo(Command):
    """Run one undo script of a step; `last` when the step is undone with it."""

    step: int
    script: int
    last: bool
    #: it had begun, and nobody knows whether it ended
    in_doubt: bool

    def stage(self, plan: Plan, state: State) -> str:
        """Name the undo of the task."""
        del state
        return f"undo {plan.steps[self.step].task}"


@dataclass(frozen=True, slots=True)
class _OfLevel(Command):
    def stage(self, plan: Plan, state: State) -> str:
        del plan
        return f"roll back by {state.rollback.level}"


@dataclass(frozen=True, slots=True)
class CountLoss(_OfLevel):
    """Count the rows that an undo would destroy, or a restore; the rows that were written since."""

    #: the step whose undo is next; past the last one, the whole restore
    step: int


@dataclass(frozen=True, slots=True)
class RunSwitch(_OfLevel):
    """Run one script of a level that has its own."""

    level: str
    script: int


@dataclass(frozen=True, slots=True)
class RestoreBackup(_OfLevel):
    """Replace what is there with the backup."""


@dataclass(frozen=True, slots=True)
class ProveRollback(Command):
    """Measure that everything is as it was before the first change."""

    def stage(self, plan: Plan, state: State) -> str:
        """Name the proof."""
        del plan, state
        return "prove the rollback"


@dataclass(frozen=True, slots=True)
class BeginRollback(Command):
    """Roll back, as enough people agreed to."""


@dataclass(frozen=True, slots=True)
class Record(Command):
    """Record an event that follows from the others."""

    body: Body
