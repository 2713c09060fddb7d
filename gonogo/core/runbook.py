"""The runbook: what a release manager writes, as a typed model.

Every field is documented here, once: the JSON Schema, the reference and the error messages come from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from gonogo.core.duration import parse_duration, parse_offset, say_duration, write_duration
from gonogo.core.threshold import Threshold, parse_threshold


def _as_list(value: object) -> object:
    return value if isinstance(value, (list, tuple)) else [value]


def _threshold_text(value: object) -> str:
    parse_threshold(value)
    return str(value).strip()


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone: write one such as Europe/Rome or UTC") from None
    return name


_DURATION_SCHEMA = WithJsonSchema(
    {"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d|w) ?)+$", "examples": ["15m", "1h30m", "500ms"]}
)
Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(write_duration, return_type=str),
    _DURATION_SCHEMA,
]
Offset = Annotated[
    timedelta,
    BeforeValidator(parse_offset),
    PlainSerializer(lambda d: f"T+{write_duration(d)}", return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^T\+.+$", "examples": ["T+15m"]}),
]
Names = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
Rule = Annotated[str, BeforeValidator(_threshold_text)]
Rules = Annotated[tuple[Rule, ...], BeforeValidator(_as_list)]
Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,47}$")]


class Part(BaseModel):
    """A part of a runbook: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Target(Part):
    """A database that a run may change."""

    database: str = Field(
        description="`embedded` for gonogo's own PostgreSQL in the project, or `$NAME` for an environment variable "
        "that holds a connection URL, or a URL without a password.",
        min_length=1,
    )
    protected: bool = Field(
        default=False,
        description="A run on it needs approvals and proofs; a version of gonogo that cannot take them refuses.",
    )
    role: str = Field(default="", description="The role to work as (SET ROLE), where the login is not the owner.")


class Input(Part):
    """A typed template variable, set at launch."""

    type: Literal["text", "integer", "number", "boolean", "list", "mapping"] | None = Field(
        default=None, description="What it may hold; without it, the type of its default."
    )
    default: Any = Field(default=None, description="Its value when the launch gives none; without it, it is required.")
    choices: tuple[Any, ...] = Field(default=(), description="The values there are, where there are only some.")
    min: float | None = Field(default=None, description="The least it may be.")
    max: float | None = Field(default=None, description="The most it may be.")
    help: str = Field(default="", description="What it is for, shown where it is asked.")


class Schedule(Part):
    """When a run starts, and when it must have ended."""

    zone: Annotated[str, AfterValidator(_zone)] = Field(
        default="UTC", description="The zone that its clock times are written in."
    )
    start: str = Field(default="now", description="`now`, or a local date and time such as 2025-10-12T18:53 in that zone.")
    end_by: str = Field(
        default="",
        description="The time by which it must have ended: 23:00, or a date and time. A gate after it is no-go.",
    )

    @model_validator(mode="after")
    def _times_exist(self) -> Schedule:
        if self.start != "now":
            local_time(self.start, self.zone)
        if self.end_by and not re.fullmatch(r"\d\d:\d\d", self.end_by):
            local_time(self.end_by, self.zone)
        elif self.end_by:
            time.fromisoformat(self.end_by)
        return self


class Person(Part):
    """Somebody with a part in the run."""

    name: str = Field(description="What they are called in updates and reports.", min_length=1)
    roles: Names = Field(default=(), description="The roles they hold.")
    slack: str = Field(default="", description="Their Slack member id, for mentions.")


class Updates(Part):
    """What stakeholders are told, and where."""

    slack: str = Field(default="", description="The Slack channel, such as #migration; it needs SLACK_BOT_TOKEN.")
    progress: tuple[Annotated[int, Field(gt=0, lt=100)], ...] = Field(
        default=(25, 50, 75), description="The percentages of planned work at which an update is sent."
    )
    blockers: Names = Field(
        default=(), description="The people (or roles) who are mentioned at once when the run holds, trips or fails."
    )


class SqlSettings(Part):
    """Limits that every script runs under."""

    lock_timeout: Duration = Field(default=timedelta(seconds=2), description="How long a statement may wait for a lock.")
    statement_timeout: Duration = Field(default=timedelta(minutes=30), description="How long a statement may run.")
    attempts: Annotated[int, Field(ge=1, le=100)] = Field(
        default=10, description="How often a script is tried when a lock, a deadlock or the connection stops it."
    )


class Backfill(Part):
    """Work through a table by key, in batches that each commit with their cursor."""

    table: str = Field(description="The table to work through, with its schema where that is not `public`.", min_length=1)
    sql: str = Field(description="The template of one batch; it says WHERE {{ batch }}, or {{ batch_of('alias') }}.")
    key: Names = Field(default=(), description="The columns to work by; without them, the primary key.")
    batch: Annotated[int, Field(ge=1, le=1_000_000)] = Field(default=1000, description="How many rows a batch takes.")


class Step(Part):
    """One thing that a task does: exactly one of sql, backfill and check."""

    step: str = Field(default="", description="Its name; without one, its task's name and its number.")
    sql: Names | None = Field(default=None, description="A template, a list of them, or a glob; run in that order.")
    backfill: Backfill | None = Field(default=None, description="A table to work through in batches.")
    check: Names | None = Field(default=None, description="Checks that must pass here.")
    undo: Names | None = Field(
        default=None,
        description="The templates that reverse it. As many as `sql` has, and each reverses its own; "
        "`nothing` says that there is nothing to reverse.",
    )
    lock_timeout: Duration | None = Field(default=None, description="This step's own lock_timeout.")
    statement_timeout: Duration | None = Field(default=None, description="This step's own statement_timeout.")
    done_if: str = Field(
        default="", description="A query with one boolean: whether the step has happened, when a crash left it in doubt."
    )
    again: Literal["", "safe"] = Field(default="", description="`safe`: running it twice does no harm.")

    @model_validator(mode="after")
    def _one_kind(self) -> Step:
        kinds = [kind for kind in ("sql", "backfill", "check") if getattr(self, kind) is not None]
        if len(kinds) != 1:
            found = " and ".join(kinds) or "none of them"
            raise ValueError(f"a step does exactly one of sql, backfill and check; this one has {found}")
        if empty := [key for key in ("sql", "check", "undo") if getattr(self, key) == ()]:
            raise ValueError(f"{empty[0]}: an empty list names nothing" + ("; write `nothing`" if empty[0] == "undo" else ""))
        return self

    @property
    def kind(self) -> str:
        """What sort of step it is."""
        return "sql" if self.sql is not None else "backfill" if self.backfill is not None else "check"


class Task(Part):
    """One row of the timed schedule; it is one Prefect task."""

    task: Identifier = Field(description="Its short name, once in the runbook.")
    title: str = Field(default="", description="What people call it.")
    about: str = Field(default="", description="What it is for.")
    owner: str = Field(default="", description="The person or role that answers for it.")
    takes: Duration | None = Field(default=None, description="How long it is planned to take.")
    at: Offset | None = Field(default=None, description="When it may start, from the start of its phase: T+30m.")
    after: Names = Field(default=(), description="Tasks of the same phase that must be done before it.")
    steps: tuple[Step, ...] = Field(default=(), description="What it does, in this order.")


class Gate(Part):
    """Where a phase stops until its criteria are met."""

    go_if: Names = Field(default=(), description="The checks that must pass; anything else is no-go, and nothing changes.")


class Phase(Part):
    """A stretch of the run, launched and gated on its own."""

    phase: Identifier = Field(description="Its short name, once in the runbook.")
    title: str = Field(default="", description="What people call it.")
    gate: Gate = Field(default=Gate(), description="What must be true before it starts.")
    tasks: tuple[Task, ...] = Field(min_length=1, description="What is done, in this order unless `after` says otherwise.")
    verify: Names = Field(default=(), description="The checks that must pass when its tasks are done.")
    watch: Names = Field(default=(), description="The checks that are sampled all the while, and can turn it back.")
    every: Annotated[Duration, Field(ge=timedelta(milliseconds=100))] = Field(
        default=timedelta(seconds=5), description="How often the watch takes a sample; 100ms at the least."
    )
    soak: Duration = Field(default=timedelta(0), description="How long it is watched after its tasks are done.")
    on_failure: Literal["roll back", "hold"] = Field(default="roll back", description="What a step that fails leads to.")

    def ordered_tasks(self) -> tuple[Task, ...]:
        """Return the tasks in the order they run: as written, but none before what it comes after.

        Raises:
            ValueError: the order is circular, or names a task that the phase does not have.
        """
        by_name = {task.task: task for task in self.tasks}
        for task in self.tasks:
            if missing := [name for name in task.after if name not in by_name]:
                raise ValueError(f"task {task.task!r} comes after {missing[0]!r}, which this phase does not have")
        sorter = TopologicalSorter({task.task: task.after for task in self.tasks})
        try:
            sorter.prepare()
        except CycleError as circle:
            raise ValueError(f"the order is circular: {' after '.join(reversed(circle.args[1]))}") from None
        ready, order = list(sorter.get_ready()), []
        while ready:
            name = min(ready, key=list(by_name).index)
            ready.remove(name)
            order.append(by_name[name])
            sorter.done(name)
            ready.extend(sorter.get_ready())
        return tuple(order)


class Check(Part):
    """A question with a threshold: exactly one of sql, time, rows and checksum."""

    about: str = Field(default="", description="What it means when it fails, for people.")
    sql: str | None = Field(
        default=None, description="A template of a query: one row with one number, and optionally how much data it rests on."
    )
    time: str | None = Field(default=None, description="A template of a query whose latency is measured, in milliseconds.")
    rows: Names | None = Field(default=None, description="Tables to count.")
    checksum: Names | None = Field(default=None, description="Tables to checksum, whatever the order of their rows.")
    expect: Rules = Field(default=(), description="What must hold, such as `= 0` or `p95 <= baseline + 10%`.")
    roll_back_if: Rule | None = Field(default=None, description="What turns the run back, such as `> 10% in 2 of 3`.")
    at_least: str | int = Field(default=0, description="How much data an answer must rest on, such as `50 calls`.")
    no_data: Literal["hold", "roll back", "ignore"] = Field(
        default="hold", description="What it leads to in the watch when it cannot be asked or answers nothing."
    )
    samples: Annotated[int, Field(ge=1, le=100_000)] = Field(default=50, description="How many calls a latency is made of.")
    warm_up: Annotated[int, Field(ge=0, le=10_000)] = Field(default=3, description="How many calls come before them.")
    within: Duration = Field(
        default=timedelta(seconds=5), description="The time a measurement may take; a latency then rests on fewer calls."
    )
    writes: bool = Field(
        default=False,
        description="The query may write: it runs in a transaction that is rolled back. Otherwise it runs read-only.",
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Check:
        kinds = [kind for kind in CHECK_KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            found = " and ".join(kinds) or "none of them"
            raise ValueError(f"a check asks exactly one of {', '.join(CHECK_KINDS)}; this one has {found}")
        if getattr(self, kinds[0]) == ():
            raise ValueError(f"{kinds[0]}: an empty list names nothing")
        if self.breach and self.breach.unchanged:
            raise ValueError("roll_back_if: `unchanged` would turn back what is as it was; write what is wrong, such as `> 0`")
        for threshold in self.expectations:
            if threshold.n > 1:
                raise ValueError(f"expect: {threshold.text!r} asks for several samples; only roll_back_if has them")
        for threshold in (*self.expectations, *([self.breach] if self.breach else [])):
            if threshold.metric != "value" and self.time is None:
                raise ValueError(f"{threshold.text!r} names the metric {threshold.metric!r}, which only a `time` check has")
        words = str(self.at_least).split()
        if not words or not words[0].isdecimal():
            raise ValueError(f"at_least: {self.at_least!r} does not start with a whole number, such as 50 calls")
        return self

    @property
    def kind(self) -> str:
        """What sort of check it is."""
        return next(kind for kind in CHECK_KINDS if getattr(self, kind) is not None)

    @property
    def least(self) -> int:
        """How much data an answer must rest on."""
        return int(str(self.at_least).split()[0])

    @property
    def expectations(self) -> tuple[Threshold, ...]:
        """What must hold."""
        return tuple(parse_threshold(rule) for rule in self.expect)

    @property
    def breach(self) -> Threshold | None:
        """What turns the run back."""
        return parse_threshold(self.roll_back_if) if self.roll_back_if else None

    @property
    def needs_baseline(self) -> bool:
        """Whether it compares with what was before the first change."""
        return any(t.needs_baseline for t in (*self.expectations, *([self.breach] if self.breach else [])))


CHECK_KINDS = ("sql", "time", "rows", "checksum")


class Rollback(Part):
    """How the run is turned back, and how it is proved that it was."""

    takes: Duration | None = Field(default=None, description="How long it is planned to take.")
    prove: Names = Field(
        default=(), description="Checks that must pass afterwards, beside the gate's own and the schema's fingerprint."
    )


class Runbook(Part):
    """A migration, as a release manager writes it."""

    runbook: Identifier = Field(description="Its short name.")
    title: str = Field(default="", description="What people call it.")
    about: str = Field(default="", description="What it changes, and why.")
    targets: dict[Identifier, Target] = Field(min_length=1, description="The databases it may run on; the first is the default.")
    inputs: dict[Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*$")], Input] = Field(
        default={}, description="Template variables."
    )
    schedule: Schedule = Field(default=Schedule(), description="When it runs.")
    people: dict[Identifier, Person] = Field(default={}, description="Who has a part in it.")
    updates: Updates = Field(default=Updates(), description="What stakeholders are told.")
    sql: SqlSettings = Field(default=SqlSettings(), description="Limits for every script.")
    baseline: Names = Field(default=(), description="The checks that are measured before the first change.")
    phases: tuple[Phase, ...] = Field(min_length=1, description="Its phases, in order.")
    checks: dict[Identifier, Check] = Field(default={}, description="Its questions and the lines drawn beforehand.")
    rollback: Rollback = Field(default=Rollback(), description="The way back.")

    def named_checks(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield every place that names a check, with the name."""
        lists: list[tuple[tuple[str | int, ...], tuple[str, ...]]] = [
            (("baseline",), self.baseline),
            (("rollback", "prove"), self.rollback.prove),
        ]
        for p, phase in enumerate(self.phases):
            lists += [
                (("phases", p, "gate", "go_if"), phase.gate.go_if),
                (("phases", p, "verify"), phase.verify),
                (("phases", p, "watch"), phase.watch),
            ]
            for t, task in enumerate(phase.tasks):
                for s, step in enumerate(task.steps):
                    lists.append((("phases", p, "tasks", t, "steps", s, "check"), step.check or ()))
        for path, names in lists:
            for i, name in enumerate(names):
                yield (*path, i), name

    def roles(self) -> set[str]:
        """Return every name that can answer for something: people and their roles."""
        return {*self.people, *(role for person in self.people.values() for role in person.roles)}


def local_time(text: str, zone: str) -> datetime:
    """Read a local date and time in a zone.

    Raises:
        ValueError: it has no such form, or does not exist there, or exists twice (when clocks change).
    """
    try:
        when = datetime.fromisoformat(text)
        if when.tzinfo is not None:
            return when.astimezone(ZoneInfo(zone))
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a date and time: write one such as 2025-10-12T18:53") from None
    first, second = (when.replace(tzinfo=ZoneInfo(zone), fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        if first.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) != when:
            raise ValueError(f"{text} does not exist in {zone}: the clocks go forward over it")
        raise ValueError(f"{text} exists twice in {zone}: the clocks go back; add an offset such as {text}+02:00")
    return first


__all__ = [
    "CHECK_KINDS",
    "Backfill",
    "Check",
    "Gate",
    "Input",
    "Part",
    "Person",
    "Phase",
    "Rollback",
    "Runbook",
    "Schedule",
    "SqlSettings",
    "Step",
    "Target",
    "Task",
    "Updates",
    "local_time",
    "say_duration",
]
