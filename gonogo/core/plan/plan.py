"""The plan: the runbook with real times, rendered scripts and a seal. It is what a run runs, and all that it needs.

A plan is the body of a run's first event, so a run can go on, report and roll back from the ledger alone.
Scripts are named by their sha256; their texts lie beside the events.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from itertools import accumulate
from typing import Any

from pydantic import AliasChoices, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from gonogo.core.model.alerts import Monitor
from gonogo.core.model.check import Check
from gonogo.core.model.check_kinds import Http, Program
from gonogo.core.model.copies import Copies
from gonogo.core.model.fields import Duration
from gonogo.core.model.people import Approve, Item, Person
from gonogo.core.model.rollback import Backup, Rehearsal, Rollback
from gonogo.core.model.runbook import Risk, SqlSettings, Updates
from gonogo.core.model.schedule import Budgets, Freeze, Window
from gonogo.core.model.step import STEP_KINDS, Pace, StepKind
from gonogo.core.model.success import Criterion

#: how long a statement waits for a lock: where others queue behind it, and elsewhere
BRIEF_WAIT, LONG_WAIT = timedelta(milliseconds=100), timedelta(seconds=2)
#: the modes that keep writers, or readers, out: manual, 13.3.1
_QUEUES = ("SHARE on", "SHARE ROW EXCLUSIVE on", "EXCLUSIVE on", "ACCESS EXCLUSIVE on")


class Planned(BaseModel):
    """A part of a plan: a value."""

    model_config = ConfigDict(frozen=True, ignored_types=(cached_property,), defer_build=True)


class Script(Planned):
    """One piece of SQL that runs in one transaction, or alone where a statement forbids transactions."""

    source: str
    sha256: str
    #: where it begins in the rendered source, counted from 1
    line: int = 1
    #: which of the step's sources it comes from, counted from 0
    part: int = 0
    transactional: bool = True
    #: it sets a session parameter that must not reach the next script
    sets: bool = False
    #: what an unfinished, not transactional script must be asked about: "create index", and the name
    act: str = ""
    object: str = ""
    #: the locks that it takes on tables that were there before it: `ACCESS EXCLUSIVE on orders`
    locks: tuple[str, ...] = ()
    #: it changes what belongs to the whole server: roles, databases, settings
    shared: bool = False
    #: the tables that it drops, empties, deletes from, or drops columns of; `schema.*` for all of a schema
    destroys: tuple[str, ...] = ()
    #: the rights that it needs: what is done, and to what
    needs: tuple[tuple[str, str], ...] = ()

    @property
    def queues_others(self) -> bool:
        """Whether those who write or read a table queue behind it while it waits for its locks."""
        return any(lock.startswith(_QUEUES) for lock in self.locks)


class PlannedBackfill(Planned):
    """How a backfill works through its table."""

    table: str
    key: tuple[str, ...] = ()
    #: rows
    batch: int = 1000
    #: what an older gonogo planned ran flat out
    pace: Pace = Pace(mode="flat out")
    #: whether it is taken back in batches, too
    undo_in_batches: bool = False


class PlannedStep(Planned):
    """A step with its scripts, forward and back."""

    name: str
    task: str
    phase: int
    kind: str
    scripts: tuple[Script, ...] = ()
    undo: tuple[Script, ...] | None = None
    #: each undo script reverses the forward source of the same part
    paired: bool = False
    checks: tuple[str, ...] = ()
    confirm: tuple[Item, ...] = ()
    backfill: PlannedBackfill | None = None
    #: None where each script has its own
    lock_timeout: Duration | None = None
    statement_timeout: Duration
    done_if: str = ""
    again: str = ""
    #: the tables that its undo drops or deletes from, and why that loses nothing, or who knows what would be lost
    destroys: tuple[str, ...] = ()
    keeps: str | Mapping[str, str] = ""
    journal: str = ""
    no_return: bool = False
    #: how many rows it must change
    rows: str = ""
    #: what it does beyond the database, and what reverses that, each within so many seconds
    external: Program | Http | None = Field(default=None, validation_alias=AliasChoices("external", "outside"))
    undo_external: Program | Http | None = Field(default=None, validation_alias=AliasChoices("undo_external", "undo_outside"))
    within: Duration = timedelta(minutes=30)
    in_rehearsal: bool = False
    #: how long a step of kind `wait` waits
    wait: Duration | None = None
    #: what the runbook says of a kind that needs nothing planned
    given: Any = None

    @model_validator(mode="before")
    @classmethod
    def _as_before(cls, data: Any) -> Any:
        """Read the plans of older ledgers, where a backfill's parts stood beside the others."""
        if isinstance(data, dict) and "table" in data:
            parts = {name: data[name] for name in ("table", "key", "batch") if name in data}
            rest = {name: value for name, value in data.items() if name not in parts}
            return {**rest, "backfill": parts if data.get("kind") == "backfill" else None}
        return data

    @property
    def row(self) -> StepKind:
        """What is true of its kind."""
        return STEP_KINDS[self.kind]

    def waits_for_locks(self, script: Script | None = None) -> timedelta:
        """Return how long a statement of it may wait for a lock.

        Args:
            script: the script; without one, it is a program's statement, which is not tried again.
        """
        if self.lock_timeout is not None:
            return self.lock_timeout
        return BRIEF_WAIT if script is not None and script.queues_others else LONG_WAIT

    @property
    def units(self) -> int:
        """How many events end it: its scripts; of anything else, one."""
        return len(self.scripts) if self.row.counts_scripts else 1


class PlannedTask(Planned):
    """A task with its place on the clock."""

    name: str
    title: str
    about: str = ""
    owner: str = ""
    concerns: str = ""
    phase: int
    first: int
    last: int
    #: seconds from the start of the phase before which it must not start, if any
    at: Duration | None = None
    takes: Duration | None = None
    downtime: bool = False
    start: AwareDatetime
    end: AwareDatetime


class PlannedPhase(Planned):
    """A phase with its gate, watch and steps."""

    name: str
    title: str
    go_if: tuple[str, ...] = ()
    #: the checklists before and after, and who decides in between
    before: tuple[Item, ...] = ()
    approve: Approve | None = None
    #: the targets on which the very same must be done first
    done_on: tuple[str, ...] = ()
    after: tuple[Item, ...] = ()
    verify: tuple[str, ...] = ()
    watch: tuple[str, ...] = ()
    deferred: bool = False
    #: when it may start, where that is not whenever it is launched: as the runbook says it, and on the clock
    at: str = ""
    opens: AwareDatetime | None = None
    every: Duration
    would_trip: bool = False
    soak: Duration
    on_failure: str
    on_cancel: str = "hold"
    first: int
    last: int
    start: AwareDatetime
    end: AwareDatetime

    @property
    def asks_people(self) -> bool:
        """Whether its gate waits for people."""
        return self.approve is not None or bool(self.before)


class Identity(Planned):
    """Which database it is: what must be the same whenever the run goes on."""

    system_identifier: str
    database: str
    version: int


class Elsewhere(Planned):
    """Another target of the runbook."""

    #: its address, as the runbook says it
    database: str
    role: str = ""


class RunSettings(Planned):
    """What a plan says of the run as a whole: its name, its target, its times, its people, its limits."""

    runbook: str
    title: str
    risk: Risk | None = None
    target: str
    identity: Identity | None = None
    protected: bool = False
    role: str = ""
    zone: str
    start: AwareDatetime
    end_by: AwareDatetime | None = None
    windows: tuple[Window, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    override: tuple[str, ...] = ()
    budgets: Budgets = Budgets()
    environment: tuple[str, ...] = ()
    inputs: Mapping[str, Any] = {}
    people: Mapping[str, Person] = {}
    updates: Updates
    sql: SqlSettings


class Plan(RunSettings):
    """Everything a run needs, whatever becomes of the files it was made from."""

    backup: Backup | None = None
    rehearsal: Rehearsal | None = None
    rehearse_on: str | Copies = ""
    #: why some blind spots are no matter, also where nobody asks for a rehearsal
    accepted_spots: Mapping[str, str] = {}
    baseline: tuple[str, ...] = ()
    checks: Mapping[str, Check] = {}
    #: the script of each check that has one
    questions: Mapping[str, Script] = {}
    phases: tuple[PlannedPhase, ...]
    tasks: tuple[PlannedTask, ...]
    steps: tuple[PlannedStep, ...]
    rollback: Rollback
    success: tuple[Criterion, ...] = ()
    monitor: Monitor | None = None
    #: the scripts of the levels that have their own
    switches: Mapping[str, tuple[Script, ...]] = {}
    #: digest over the files it was made from, to know quickly that nothing changed
    sources: str = ""
    seal: str = ""
    #: digest over what is done, the same for every target with the same inputs
    what: str = ""
    #: where the targets are on which it must be done first, as the runbook says it, and as whom gonogo works there
    elsewhere: Mapping[str, Elsewhere] = {}
    #: whether a gate of another target asks what was done here
    asked_elsewhere: bool = False
    #: the git commit that its files were checked out from, if they were
    commit: str = ""

    def items(self, phase: int) -> dict[str, Item]:
        """Return every item of a phase's checklists, by name."""
        found = self.phases[phase]
        steps = self.steps[found.first : found.last + 1]
        return {item.item: item for item in (*found.before, *(i for step in steps for i in step.confirm), *found.after)}

    @property
    def arguments(self) -> str:
        """How a command names the runbook and its target."""
        return f"{self.runbook} --target {self.target}"

    @property
    def reaches_out(self) -> bool:
        """Whether anything of it acts beyond the database: programs, pgbench's scripts, code and addresses of the project."""
        return (
            any(check.row.external for check in self.checks.values())
            or any(step.external or step.undo_external for step in self.steps)
            or bool(self.backup and self.backup.provider)
        )

    @property
    def scripts(self) -> Iterator[Script]:
        """Every script of it: forward, back, and of the levels that have their own."""
        for step in self.steps:
            yield from step.scripts
            yield from step.undo or ()
        for scripts in self.switches.values():
            yield from scripts

    def opens(self, phase: int) -> datetime | None:
        """Return when a phase may start, where that is not whenever it is launched."""
        return self.phases[phase].start if phase == 0 else self.phases[phase].opens

    def task(self, name: str) -> PlannedTask:
        """Return the task of that name."""
        return self.tasks_by_name[name]

    @cached_property
    def tasks_by_name(self) -> Mapping[str, PlannedTask]:
        """The tasks by name."""
        return {task.name: task for task in self.tasks}

    @cached_property
    def weights(self) -> tuple[float, ...]:
        """What share of the planned work each task is: its seconds where all have them, else its steps."""
        timed = all(task.takes is not None for task in self.tasks)
        seconds = (task.takes.total_seconds() if task.takes else 0.0 for task in self.tasks)
        return tuple(seconds) if timed else tuple(float(task.last - task.first + 1) for task in self.tasks)

    @cached_property
    def units_before(self) -> tuple[int, ...]:
        """For each step, and for the end, how many scripts come before it."""
        return (0, *accumulate(step.units for step in self.steps))

    def proof(self, back_to: int = 0) -> tuple[str, ...]:
        """Return the checks that must pass again before anyone says *rolled back* to the start of a phase."""
        unchanged = (name for name in self.baseline if any(t.unchanged for t in self.checks[name].expectations))
        return tuple(dict.fromkeys((*self.phases[back_to].go_if, *unchanged, *self.rollback.prove)))

    @cached_property
    def measured_before(self) -> tuple[str, ...]:
        """The checks that are measured before the first change."""
        asked = [name for phase in self.phases for name in (*phase.go_if, *phase.verify, *phase.watch)]
        asked += [name for step in self.steps for name in step.checks]
        asked += [name for step in self.steps if step.backfill for name in step.backfill.pace.goes_on_if]
        asked += [criterion.check for criterion in self.success if criterion.check in self.checks]
        compared = (name for name in (*asked, *self.rollback.prove) if self.checks[name].needs_baseline)
        return tuple(dict.fromkeys((*self.baseline, *compared)))

    @property
    def ends(self) -> datetime:
        """When it is planned to end, soaks included."""
        return self.phases[-1].end

    @property
    def takes(self) -> timedelta:
        """How long it is planned to take."""
        return self.ends - self.start
