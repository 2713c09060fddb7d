"""Small plans, made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gonogo.core.model.check import Check
from gonogo.core.model.people import Approve, Item, Person
from gonogo.core.model.rollback import Backup, Rehearsal, Rollback
from gonogo.core.model.runbook import SqlSettings, Updates
from gonogo.core.model.schedule import Budgets
from gonogo.core.plan.plan import Plan, PlannedBackfill, PlannedPhase, PlannedStep, PlannedTask, Script

START = datetime(2025, 10, 12, 16, 53, tzinfo=UTC)
NOTHING = timedelta(0)
#: who there is, unless a test says otherwise: ben holds two roles, emil none
PEOPLE: Mapping[str, Person] = {
    "anna": Person(name="Anna", roles=("lead",)),
    "ben": Person(name="Ben", roles=("lead", "dba")),
    "carla": Person(name="Carla", roles=("dba",)),
    "dora": Person(name="Dora", roles=("ops",)),
    "emil": Person(name="Emil"),
}
LAUNCHER = "anna"
#: the check of every gate, of every verification and of every check step, unless a test names others
CHECK = "c"
ASKED: Mapping[str, Check] = {CHECK: Check.model_validate({"query": "SELECT 0", "expect": "= 0"})}


def script(part: int = 0, *, alone: bool = False) -> Script:
    act, what = ("create index", '"i"') if alone else ("", "")
    return Script(source=f"{part:03}.sql", sha256=f"{part:064x}", part=part, transactional=not alone, act=act, object=what)


@dataclass(frozen=True, kw_only=True)
class AStep:
    kind: str = "sql"
    scripts: tuple[Script, ...] = ()
    undo: tuple[Script, ...] | None = ()
    paired: bool = False
    boxes: tuple[str, ...] = ()
    in_batches: bool = False
    destroys: tuple[str, ...] = ()


def sql(
    *scripts: Script, undo: Sequence[Script] | None = (script(),), paired: bool = False, count: int = 1, alone: bool = False
) -> AStep:
    forward = scripts or tuple(script(alone=alone) for _ in range(count))
    return AStep(scripts=forward, undo=None if undo is None else tuple(undo), paired=paired)


def backfill(undo: Sequence[Script] | None = (script(),), *, in_batches: bool = False) -> AStep:
    return AStep(kind="backfill", scripts=(script(),), undo=None if undo is None else tuple(undo), in_batches=in_batches)


def check() -> AStep:
    return AStep(kind="check")


def confirm(*boxes: str) -> AStep:
    return AStep(kind="confirm", boxes=boxes)


def approve(*roles: str, quorum: int = 1, within: timedelta = timedelta(hours=2), not_launcher: bool = False) -> Approve:
    return Approve(roles=roles, quorum=quorum, within=within, not_launcher=not_launcher)


@dataclass(frozen=True, kw_only=True)
class ATask:
    steps: tuple[AStep, ...] = ()
    at: timedelta | None = None
    takes: timedelta | None = None
    owner: str = ""
    downtime: bool = False


def task(
    *steps: AStep, at: timedelta | None = None, takes: timedelta | None = None, owner: str = "", downtime: bool = False
) -> ATask:
    return ATask(steps=steps, at=at, takes=takes, owner=owner, downtime=downtime)


@dataclass(frozen=True, kw_only=True)
class APhase:
    tasks: tuple[ATask, ...] = ()
    soak: timedelta = NOTHING
    on_failure: str = "roll back"
    approve: Approve | None = None
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def phase(
    *tasks: ATask,
    soak: timedelta = NOTHING,
    on_failure: str = "roll back",
    approve: Approve | None = None,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
) -> APhase:
    return APhase(tasks=tasks, soak=soak, on_failure=on_failure, approve=approve, before=tuple(before), after=tuple(after))


class _Boxes:
    """Make the boxes of checklists; one that is there already gets a number, as a runbook has each of them once."""

    def __init__(self) -> None:
        self.there: set[str] = set()

    def make(self, names: Sequence[str]) -> tuple[Item, ...]:
        """Return the boxes of one checklist: `backup`, or `backup:dba` with its owner."""
        made = []
        for text in names:
            name, _, owner = text.partition(":")
            number = next(n for n in range(1, 1000) if (f"{name}-{n}" if n > 1 else name) not in self.there)
            item = Item(item=f"{name}-{number}" if number > 1 else name, owner=owner)
            self.there.add(item.item)
            made.append(item)
        return tuple(made)


def plan(
    *phases: APhase,
    blockers: tuple[str, ...] = (),
    checks: Mapping[str, Check] | None = None,
    people: Mapping[str, Person] = PEOPLE,
    authority: Approve | None = None,
    backup: Backup | None = None,
    rehearsal: Rehearsal | None = None,
    rollback: Rollback | None = None,
    end_by: datetime | None = None,
    budgets: Budgets | None = None,
) -> Plan:
    """Number the parts and put them on the clock, as planning does."""
    boxes = _Boxes()
    steps: list[PlannedStep] = []
    tasks: list[PlannedTask] = []
    planned: list[PlannedPhase] = []
    moment = START
    for p, a_phase in enumerate(phases):
        phase_first, begins, before = len(steps), moment, boxes.make(a_phase.before)
        for a_task in a_phase.tasks:
            name, first = f"task-{len(tasks)}", len(steps)
            for a_step in a_task.steps:
                steps.append(
                    PlannedStep(
                        name=f"{name}.{len(steps) - first + 1}",
                        task=name,
                        phase=p,
                        kind=a_step.kind,
                        scripts=a_step.scripts,
                        undo=a_step.undo,
                        paired=a_step.paired,
                        checks=(CHECK,) if a_step.kind == "check" else (),
                        confirm=boxes.make(a_step.boxes),
                        backfill=PlannedBackfill(table="t", undo_in_batches=a_step.in_batches)
                        if a_step.kind == "backfill"
                        else None,
                        destroys=a_step.destroys,
                        lock_timeout=timedelta(seconds=2),
                        statement_timeout=timedelta(minutes=1),
                    )
                )
            start = max(moment, begins + a_task.at) if a_task.at is not None else moment
            moment = start + (a_task.takes or NOTHING)
            tasks.append(
                PlannedTask(
                    name=name,
                    title=f"Task {len(tasks)}",
                    owner=a_task.owner,
                    phase=p,
                    first=first,
                    last=len(steps) - 1,
                    at=a_task.at,
                    takes=a_task.takes,
                    downtime=a_task.downtime,
                    start=start,
                    end=moment,
                )
            )
        planned.append(
            PlannedPhase(
                name=f"phase-{p}",
                title=f"Phase {p}",
                go_if=(CHECK,),
                verify=(CHECK,),
                before=before,
                approve=a_phase.approve,
                after=boxes.make(a_phase.after),
                every=timedelta(seconds=5),
                soak=a_phase.soak,
                on_failure=a_phase.on_failure,
                first=phase_first,
                last=len(steps) - 1,
                start=begins,
                end=moment + a_phase.soak,
            )
        )
        moment += a_phase.soak
    return Plan(
        runbook="example",
        title="An example",
        target="demo",
        zone="Europe/Rome",
        start=START,
        updates=Updates(blockers=blockers),
        sql=SqlSettings(),
        backup=backup,
        rehearsal=rehearsal,
        end_by=end_by,
        budgets=budgets or Budgets(),
        checks={**ASKED, **(checks or {})},
        people=people,
        phases=tuple(planned),
        tasks=tuple(tasks),
        steps=tuple(steps),
        rollback=(rollback or Rollback()).model_copy(update={"authority": authority}),
        switches={"feature": (script(),), "data": (script(), script())},
    )
