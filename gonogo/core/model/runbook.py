"""The runbook: what a release manager writes, as a typed model.

Every field is documented here, once: the JSON Schema, the reference and the error messages come from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gonogo.core.model.alerts import Alert, Monitor
from gonogo.core.model.channel import ChannelKind
from gonogo.core.model.check import Check, Concern
from gonogo.core.model.copies import Copies
from gonogo.core.model.fields import Duration, Identifier, Names, Offset, Part
from gonogo.core.model.people import Approve, Item, Person
from gonogo.core.model.rollback import BACKUP_PROVED, REHEARSAL_FRESH, Backup, Rehearsal, Rollback
from gonogo.core.model.schedule import Budgets, Schedule
from gonogo.core.model.step import Step
from gonogo.core.model.success import Criterion


class Target(Part):
    """A database that a run may change."""

    database: str = Field(
        description="`embedded` for gonogo's own PostgreSQL in the project, or `$NAME` for an environment variable "
        "that holds a connection URL, or a URL without a password.",
        min_length=1,
    )
    direct: str = Field(
        default="",
        description="Where PostgreSQL itself is reached, as `$NAME` or a URL, if `database` leads through a pooler that shares"
        " connections; gonogo then works there.",
    )
    protected: bool = Field(
        default=False,
        description="Nothing runs on it that people have not approved, and everyone proves who they are with a one-time code.",
    )
    role: str = Field(default="", description="The role to work as (SET ROLE), where the login is not the owner.")
    environment: Names = Field(
        default=(), description="Environment variables that must be set before anything runs on it, beside those of the runbook."
    )
    rehearse_on: str | Copies = Field(
        default="",
        description="Where backups are proved and the run is rehearsed: `embedded`, or `$NAME` for the URL of a server. Without"
        " it, beside the target where its role may create databases, else on the embedded PostgreSQL. Or where rehearsals get"
        " copies that something else makes.",
    )


class Input(Part):
    """A typed template variable, set at launch."""

    type: Literal["text", "integer", "number", "boolean", "list", "mapping"] | None = Field(
        default=None, description="What it may hold; without it, the type of its default."
    )
    default: Any = Field(default=None, description="Its value when the launch gives none; without it, it is required.")
    choices: tuple[Any, ...] = Field(default=(), description="The allowed values; any value without it.")
    min: float | None = Field(default=None, description="The least it may be.")
    max: float | None = Field(default=None, description="The most it may be.")
    help: str = Field(default="", description="What it is for, shown where it is asked.")


class Escalation(Part):
    """Who is told when nobody has acknowledged for a time."""

    after: Duration = Field(description="How long after the run began to need people.")
    to: Names = Field(description="The people, or the roles, who are told then.", min_length=1)


class Risk(Part):
    """How risky the migration is held to be."""

    level: Literal["low", "medium", "high"] = Field(description="low, medium or high.")
    why: str = Field(description="Why: what could go wrong, and what is done against it.", min_length=1)


class Updates(Part):
    """What stakeholders are told, and where."""

    slack: Annotated[str, ChannelKind(title="Slack", variable="SLACK_BOT_TOKEN", edits=True, quiet=True)] = Field(
        default="", description="The Slack channel, such as #migration; it needs SLACK_BOT_TOKEN."
    )
    email: Annotated[str, ChannelKind(title="e-mail", variable="GONOGO_SMTP_URL", edits=False, quiet=False)] = Field(
        default="", description="The addresses, with commas between them; it needs GONOGO_SMTP_URL: smtps://USER:PASSWORD@HOST."
    )
    teams: Annotated[str, ChannelKind(title="Microsoft Teams", variable="TEAMS_WEBHOOK_URL", edits=False, quiet=False)] = Field(
        default="", description="What the channel is called, for people; it needs TEAMS_WEBHOOK_URL, the address of a workflow."
    )
    pagerduty: Annotated[str, ChannelKind(title="PagerDuty", variable="PAGERDUTY_ROUTING_KEY", edits=False, quiet=False)] = Field(
        default="", description="What the incident is about, such as the service; it needs PAGERDUTY_ROUTING_KEY."
    )
    webhook: Annotated[str, ChannelKind(title="the webhook", variable="GONOGO_WEBHOOK_SECRET", edits=True, quiet=True)] = Field(
        default="", description="An address that hears every update as signed JSON; it needs GONOGO_WEBHOOK_SECRET."
    )
    progress: tuple[Annotated[int, Field(gt=0, lt=100)], ...] = Field(
        default=(25, 50, 75), description="The percentages of planned work at which an update is sent."
    )
    blockers: Names = Field(
        default=(), description="The people (or roles) who are mentioned at once when the run holds, trips or fails."
    )

    escalate: tuple[Escalation, ...] = Field(
        default=(), description="Who is told, one level after the other, until somebody acknowledges: `gonogo ack`."
    )
    contacts: dict[Concern, Names] = Field(
        default={}, description="Who is mentioned too where a check is about `database`, `application`, `security` or `business`."
    )

    def recipients(self) -> Iterator[tuple[tuple[str | int, ...], tuple[str, ...]]]:
        """Yield everybody who is told something, with the place."""
        yield ("blockers",), self.blockers
        for number, level in enumerate(self.escalate):
            yield ("escalate", number, "to"), level.to
        for concern, names in self.contacts.items():
            yield ("contacts", concern), names

    @model_validator(mode="after")
    def _later_and_later(self) -> Updates:
        waits = [level.after for level in self.escalate]
        if sorted(set(waits)) != waits:
            raise ValueError("escalate: each level comes later than the one before it")
        return self


CHANNEL_KINDS: Mapping[str, ChannelKind] = {
    name: row for name, field in Updates.model_fields.items() for row in field.metadata if isinstance(row, ChannelKind)
}


#: how often, and for how long, something is tried where a runbook does not say
_TRIES, _LOCK_PATIENCE = 10, timedelta(minutes=10)


class AskBlockers(Part):
    """What happens to the sessions that keep a script from its lock."""

    after: Duration = Field(default=timedelta(minutes=2), description="How long the script waits for them before that.")
    then: Literal["hold", "terminate idle"] = Field(
        description="`hold`: the run holds and names them, and people decide. `terminate idle`: those that are idle in a"
        " transaction are ended (the role needs `pg_signal_backend`, or to be theirs); the others are waited for."
    )


class SqlSettings(Part):
    """Limits that every script runs under."""

    lock_timeout: Duration | None = Field(
        default=None,
        description="How long a statement may wait for a lock. Without it, 100 ms where others queue behind it (a script that"
        " locks a table against writers or readers), and 2 s elsewhere.",
    )
    lock_patience: Duration | None = Field(
        default=None,
        description="How long a script is tried again while others hold the locks that it needs; between two tries it rests 20"
        " times as long as it waited. Without it, 10 minutes; a runbook that has `attempts` goes by that number instead.",
    )
    ask_blockers: AskBlockers | None = Field(
        default=None, description="What happens to the sessions that keep a script from its lock for long."
    )
    statement_timeout: Duration = Field(default=timedelta(minutes=30), description="How long a statement may run.")
    attempts: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=None,
        description="How often a script is tried when a deadlock or the connection stops it (10 times without it), and, where"
        " there is no `lock_patience`, when a lock does.",
    )
    search_path: str = Field(
        default="",
        description="The schemas in which scripts, queries and checks find what they name without one, such as `app, public`;"
        " without it, those that the role has in that database.",
    )
    ask_rights: bool = Field(
        default=True,
        description="Whether a gate asks beforehand which privileges its statements need and the database role lacks; what is"
        " missing is no-go. A phase that changes owners, grants or roles itself is not asked about.",
    )

    @property
    def tries(self) -> int:
        """How often a script is tried when a deadlock or the connection stops it."""
        return self.attempts or _TRIES

    @property
    def patience(self) -> timedelta | None:
        """How long a script is tried while others hold its locks; None where that goes by the number of tries."""
        return self.lock_patience or (_LOCK_PATIENCE if self.attempts is None else None)


class Task(Part):
    """One row of the timed schedule; it is one Prefect task."""

    task: Identifier = Field(description="Its short name, once in the runbook.")
    title: str = Field(default="", description="What people call it.")
    about: str = Field(default="", description="What it is for.")
    owner: str = Field(default="", description="The person or role that answers for it.")
    concerns: Concern | Literal[""] = Field(default="", description="Whose problem it is when it fails: see `contacts`.")
    takes: Duration | None = Field(default=None, description="How long it is planned to take.")
    at: Offset | None = Field(default=None, description="When it may start, from the start of its phase: T+30m.")
    after: Names = Field(default=(), description="Tasks of the same phase that must be done before it.")
    downtime: bool = Field(
        default=False,
        description="Whether the application is down from the first thing that it does until it is done; tasks that follow one"
        " another are one stretch. It is counted against `budgets.downtime`.",
    )
    steps: tuple[Step, ...] = Field(default=(), description="What it does, in this order.")


class Gate(Part):
    """Where a phase stops until its criteria are met."""

    go_if: Names = Field(default=(), description="The checks that must pass; anything else is no-go, and nothing changes.")
    confirm: tuple[Item, ...] = Field(default=(), description="The checklist before: what people confirm until it is go.")
    approve: Approve | None = Field(default=None, description="The people who decide, once the checks pass.")
    done_on: Names = Field(
        default=(),
        description="The targets on which the very same must be done first, such as `staging`: the same scripts, inputs, checks"
        " and rules, as that target's ledger says with this project's signature. On those targets themselves it asks nothing.",
    )


class Phase(Part):
    """A stretch of the run, launched and gated on its own."""

    phase: Identifier = Field(description="Its short name, once in the runbook.")
    title: str = Field(default="", description="What people call it.")
    at: str = Field(
        default="",
        description="When it may start: so long after the start of the run (`T+7d`), or a local date and time. Launched before,"
        " it waits; without it, it starts when it is launched.",
    )
    gate: Gate = Field(default=Gate(), description="What must be true before it starts.")
    tasks: tuple[Task, ...] = Field(min_length=1, description="What is done, in this order unless `after` says otherwise.")
    deferred: bool = Field(
        default=False,
        description="Whether it is only launched by its name: weeks later, say, when nothing needs the old any more.",
    )
    verify: Names = Field(default=(), description="The checks that must pass when its tasks are done.")
    watch: Names = Field(default=(), description="The checks that are sampled all the while, and can roll it back.")
    every: Annotated[Duration, Field(ge=timedelta(milliseconds=100))] = Field(
        default=timedelta(seconds=5), description="How often the watch takes a sample; 100ms at the least."
    )
    would_trip: bool = Field(
        default=False, description="Whether the watch only reports what it would do, to try a rule out before it acts."
    )
    soak: Duration = Field(default=timedelta(0), description="How long it is watched after its tasks are done.")
    confirm: tuple[Item, ...] = Field(
        default=(), description="The checklist after: what people confirm until the phase is done; it is watched meanwhile."
    )
    on_cancel: Literal["hold", "roll back"] = Field(
        default="hold", description="What cancelling the flow run in Prefect leads to, once the running statement is stopped."
    )
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


class Runbook(Part):
    """A migration, as a release manager writes it."""

    runbook: Identifier = Field(description="Its short name.")
    title: str = Field(default="", description="What people call it.")
    about: str = Field(default="", description="What it changes, and why.")
    risk: Risk | None = Field(default=None, description="How risky the migration is, and why; it is shown in the first update.")
    targets: dict[Identifier, Target] = Field(min_length=1, description="The databases it may run on; the first is the default.")
    inputs: dict[Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*$")], Input] = Field(
        default={}, description="Template variables."
    )
    schedule: Schedule = Field(default=Schedule(), description="When it runs.")
    budgets: Budgets = Field(default=Budgets(), description="How long things may take in all.")
    environment: Names = Field(
        default=(), description="Environment variables that must be set before anything runs; their values are never shown."
    )
    people: dict[Identifier, Person] = Field(default={}, description="Who has a part in it.")
    updates: Updates = Field(default=Updates(), description="What stakeholders are told.")
    sql: SqlSettings = Field(default=SqlSettings(), description="Limits for every script.")
    backup: Backup | None = Field(default=None, description="The backup that must be there, and proved, before anything changes.")
    rehearsal: Rehearsal | None = Field(
        default=None, description="The rehearsal that must have gone forward and back before anything changes."
    )
    baseline: Names = Field(default=(), description="The checks that are measured before the first change.")
    phases: tuple[Phase, ...] = Field(min_length=1, description="Its phases, in order.")
    checks: dict[Identifier, Check] = Field(default={}, description="Its checks, with their thresholds.")
    rollback: Rollback = Field(
        default=Rollback(), description="The rollback plan: its levels, who may ask for it, what proves it."
    )
    success: tuple[Criterion, ...] = Field(
        default=(), description="The success criteria; the report says of each whether it was met, not met, or is unknown."
    )
    monitor: Monitor | None = Field(default=None, description="What is looked at also when no run is under way.")

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """The rules by which people are told, whether or not a run is under way."""
        return self.monitor.alerts if self.monitor else ()

    def named_checks(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield every place that names a check, with the name."""
        lists: list[tuple[tuple[str | int, ...], tuple[str, ...]]] = [
            (("baseline",), self.baseline),
            (("rollback", "prove"), self.rollback.prove),
        ]
        lists += [(("success", n, "check"), (found.check,)) for n, found in enumerate(self.success) if found.check]
        for n, alert in enumerate(self.alerts):
            lists.append((("monitor", "alerts", n, "check"), (alert.check,)))
        for level in ("feature", "data"):
            switch = getattr(self.rollback, level)
            lists.append((("rollback", level, "prove"), switch.prove if switch else ()))
        for p, phase in enumerate(self.phases):
            lists += [
                (("phases", p, "gate", "go_if"), phase.gate.go_if),
                (("phases", p, "verify"), phase.verify),
                (("phases", p, "watch"), phase.watch),
            ]
            for t, task in enumerate(phase.tasks):
                for s, step in enumerate(task.steps):
                    place = ("phases", p, "tasks", t, "steps", s)
                    lists.append(((*place, "check"), step.check or ()))
                    if step.backfill is not None:
                        lists.append(((*place, "backfill", "pace", "goes_on_if"), step.backfill.pace.goes_on_if))
        for path, names in lists:
            for i, name in enumerate(names):
                if (path[-1] != "go_if" and path[0] != "success") or name not in (BACKUP_PROVED, REHEARSAL_FRESH):
                    yield (*path, i), name

    def named_people(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield every place that names a person or a role, with the name."""
        recipients = [(("updates", *place), names) for place, names in self.updates.recipients()]
        recipients += [(("monitor", "alerts", n, "to"), alert.to) for n, alert in enumerate(self.alerts)]
        for place, names in recipients:
            yield from (((*place, i), name) for i, name in enumerate(names))
        for i, name in enumerate(self.schedule.override):
            yield ("schedule", "override", i), name
        for path, rule in self.approvals():
            for i, name in enumerate(rule.roles):
                yield (*path, "roles", i), name
        for path, item in self.items():
            if item.owner:
                yield (*path, "owner"), item.owner
        for p, phase in enumerate(self.phases):
            for t, task in enumerate(phase.tasks):
                if task.owner:
                    yield ("phases", p, "tasks", t, "owner"), task.owner

    def approvals(self) -> Iterator[tuple[tuple[str | int, ...], Approve]]:
        """Yield every rule by which people agree, with its place."""
        for p, phase in enumerate(self.phases):
            if phase.gate.approve is not None:
                yield ("phases", p, "gate", "approve"), phase.gate.approve
        if self.rollback.authority is not None:
            yield ("rollback", "authority"), self.rollback.authority

    def items(self) -> Iterator[tuple[tuple[str | int, ...], Item]]:
        """Yield every item of every checklist, with its place."""
        for p, phase in enumerate(self.phases):
            for i, item in enumerate(phase.gate.confirm):
                yield ("phases", p, "gate", "confirm", i), item
            for t, task in enumerate(phase.tasks):
                for s, step in enumerate(task.steps):
                    for i, item in enumerate(step.confirm or ()):
                        yield ("phases", p, "tasks", t, "steps", s, "confirm", i), item
            for i, item in enumerate(phase.confirm):
                yield ("phases", p, "confirm", i), item

    def roles(self) -> set[str]:
        """Return every name that can answer for something: people and their roles."""
        return {*self.people, *(role for person in self.people.values() for role in person.roles)}
