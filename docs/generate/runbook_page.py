"""The page `docs/runbook.md`: the reference of the runbook, written from its model, so that it cannot be wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from generate import runbook_examples
from gonogo.core.model.alerts import Alert, Monitor
from gonogo.core.model.check import Check
from gonogo.core.model.check_kinds import Http, Objects, Program, Prometheus, Reference, Structure, Throughput, Values
from gonogo.core.model.copies import Copies
from gonogo.core.model.duration import say_duration
from gonogo.core.model.fields import Part
from gonogo.core.model.people import Approve, Item, Person
from gonogo.core.model.restore_points import PgBackRest, RestorePointPrograms, Sample
from gonogo.core.model.rollback import Backup, Rehearsal, Rollback, Switch
from gonogo.core.model.runbook import (
    AskBlockers,
    Escalation,
    Gate,
    Input,
    Phase,
    Risk,
    Runbook,
    SqlSettings,
    Target,
    Task,
    Updates,
)
from gonogo.core.model.schedule import Budgets, Freeze, Schedule, Window
from gonogo.core.model.step import Backfill, MigrationFolder, Pace, Step, UndoBackfill
from gonogo.core.model.success import Criterion

_INTRO = """\
# The runbook

A runbook is one YAML file. It says what happens, when, under which conditions, and what rolls it back.
This page is made from the model (`gonogo/core/model/runbook.py`) by `just docs`. [The concepts](index.md#concepts) say what
the words mean.

## How it is read

- `gonogo run hello` reads `runbooks/hello.yaml` of the project, which is the nearest folder above you with a `runbooks/`.
  A path works as well.
- Templates are looked for in `sql_templates/<name of the runbook>/`, then in `sql_templates/`.
- A key that is not in these tables is an error. `gonogo validate` tells every problem at once, with line and column;
  what names refer to, and the templates, are looked at once the form is right.
- The YAML is a plain subset: no tags, no dates, one document. `yes` and `12:30` are text. A doubled key is an error.
- Where a table says *text, or a list*, one value needs no brackets: `verify: totals` is `verify: [totals]`.
- A **duration** is a number with a unit: `500ms`, `30s`, `15m`, `1h30m`, `2d`, `1w`. A bare number is refused.
- An **offset** is `T+` and a duration, counted from the moment that the phase starts: `T+30m`.
- A **threshold** is a comparison: see [Checks and verdicts](concepts/checks-and-verdicts.md#thresholds).
- A **name** has lower-case letters, digits, `-` and `_`, begins with a letter, and is at most 48 long.

For an editor that completes and checks while you type, begin the file with
`# yaml-language-server: $schema=../runbook.schema.json`; `gonogo schema` prints that file, and `gonogo init` writes it.
"""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the reference: a model, what it is, and an example of it."""

    model: type[Part]
    intro: str
    example: str
    #: where the example holds the model: keys, and `*` for each item of a list or a mapping
    path: tuple[str, ...] = ()


SECTIONS: tuple[Section, ...] = (
    Section(
        model=Runbook,
        intro="The whole file. `runbook`, `targets` and `phases` must be there.",
        example=runbook_examples.RUNBOOK,
    ),
    Section(
        model=Target,
        intro="A database that the runbook may run on: `gonogo run shop-orders --target staging`. It must be a primary of"
        " PostgreSQL 15 or later, reached without a pooler in transaction mode. For `protected`, see"
        " [People](concepts/people.md#protected-targets).",
        example=runbook_examples.TARGETS,
        path=("targets", "*"),
    ),
    Section(
        model=Input,
        intro="A value that templates use, and that a launch may set: `gonogo run shop-orders --input plan=large`. The value"
        " on the command line is read as YAML. See [Templates](concepts/templates.md).",
        example=runbook_examples.INPUTS,
        path=("inputs", "*"),
    ),
    Section(
        model=Risk,
        intro="It is on the plan's page, in the first update and in the report.",
        example=runbook_examples.RISK,
        path=("risk",),
    ),
    Section(
        model=Schedule,
        intro="The clock of the plan. `start` is what the plan's times are counted from. A run that is launched before it"
        " waits for it, and each task's `at` counts from the start of its phase; `--at-once` waits for neither. `end_by` warns"
        " where the plan ends later, and a gate after it is no-go. `windows`, `freezes` and `override` say when phases may start:"
        " see [Checklists, windows, freezes](concepts/checklists.md#windows-and-freezes).",
        example=runbook_examples.SCHEDULE,
        path=("schedule",),
    ),
    Section(
        model=Budgets,
        intro="What is used of them stands in `gonogo status`, in the run's update and in the report. Time counts by the clock: a"
        " hold while the application is down is downtime. A step is not stopped in its middle for a budget;"
        " `statement_timeout` and `within` limit those. Whoever is in `schedule.override` may launch a phase that a budget"
        " refuses, with a reason.",
        example=runbook_examples.BUDGETS,
        path=("budgets",),
    ),
    Section(
        model=Window,
        intro="A stretch of the week in which phases may start. A window that closes at or before the time that it opens closes"
        " on the next day; `days` are those on which it opens. Where there are several, one of them is enough.",
        example=runbook_examples.WINDOWS,
        path=("windows", "*"),
    ),
    Section(
        model=Freeze,
        intro="A stretch of time in which no phase may start, even inside a window. Its times are in the schedule's zone.",
        example=runbook_examples.FREEZES,
        path=("freezes", "*"),
    ),
    Section(
        model=Person,
        intro="Somebody who owns a task, decides, confirms or hears of trouble. Wherever a person is named, a role may stand for"
        " whoever holds it. See [People](concepts/people.md).",
        example=runbook_examples.PEOPLE,
        path=("people", "*"),
    ),
    Section(
        model=Updates,
        intro="Who is told what: see [Updates](concepts/updates.md).",
        example=runbook_examples.UPDATES,
        path=("updates",),
    ),
    Section(
        model=Escalation,
        intro="A level of escalation: see [Alerts and escalation](concepts/alerts.md).",
        example=runbook_examples.LEVELS,
        path=("escalate", "*"),
    ),
    Section(
        model=SqlSettings,
        intro="Limits of every script and every undo. A step may have its own.",
        example=runbook_examples.SQL,
        path=("sql",),
    ),
    Section(
        model=AskBlockers,
        intro="What happens to the sessions that keep a script from its lock.",
        example=runbook_examples.SQL,
        path=("sql", "ask_blockers"),
    ),
    Section(
        model=Phase,
        intro="A stretch with a gate, tasks, a verification, a soak and perhaps a checklist after it."
        " `gonogo run shop-orders --phase expand` launches one; without `--phase` all that are left follow one another.",
        example=runbook_examples.PHASE,
        path=("phases", "*"),
    ),
    Section(
        model=Gate,
        intro="Where a phase begins: go, or no-go. The checks are measured first, then people are asked. See"
        " [Gates](concepts/gates.md). With nothing in it, it is always go.",
        example=runbook_examples.GATE,
        path=("gate",),
    ),
    Section(
        model=Approve,
        intro="Whose word counts, at a gate (`gate.approve`) or for a rollback (`rollback.authority`). See"
        " [Gates](concepts/gates.md#who-decides). A quorum that the runbook's people cannot reach is an error.",
        example=runbook_examples.APPROVE,
        path=("approve",),
    ),
    Section(
        model=Item,
        intro="A checklist item: before a phase (`gate.confirm`), during it (a step `confirm`), or after it (`confirm` of the"
        " phase). See [Checklists](concepts/checklists.md).",
        example=runbook_examples.ITEM,
        path=("confirm", "*"),
    ),
    Section(
        model=Task,
        intro="A row of the schedule, with its steps. A task without steps only takes its time on the plan's clock.",
        example=runbook_examples.TASK,
        path=("tasks", "*"),
    ),
    Section(
        model=Step,
        intro="Exactly one of `sql`, `migrations`, `backfill`, `run`, `http`, `check`, `confirm` and `wait`."
        " A step with `sql` or `backfill` should have an `undo`: without one the run cannot be rolled back past it."
        " `done_if` and `again` are for statements that no transaction can"
        " hold: see [In doubt](concepts/in-doubt.md).",
        example=runbook_examples.STEP,
        path=("steps", "*"),
    ),
    Section(
        model=MigrationFolder,
        intro="Changes that another tool keeps: see [Beside your migration tool](concepts/other-tools.md).",
        example=runbook_examples.MIGRATIONS,
        path=("migrations",),
    ),
    Section(
        model=Backfill,
        intro="A change to many rows, batch by batch: see [Backfill](concepts/backfill.md).",
        example=runbook_examples.BACKFILL,
        path=("backfill",),
    ),
    Section(
        model=Pace,
        intro="How a backfill keeps out of the application's way. See [Backfill](concepts/backfill.md).",
        example=runbook_examples.PACE,
        path=("pace",),
    ),
    Section(
        model=UndoBackfill,
        intro="The undo of a backfill, in batches.",
        example=runbook_examples.UNDO_BACKFILL,
        path=("undo",),
    ),
    Section(
        model=Check,
        intro="A question with a threshold: exactly one of the kinds from `sql` to `own`. See"
        " [Checks and verdicts](concepts/checks-and-verdicts.md).",
        example=runbook_examples.CHECKS,
        path=("checks", "*"),
    ),
    Section(
        model=Reference,
        intro="A column that should only hold what another one has. A NULL refers to nothing on purpose.",
        example=runbook_examples.REFERENCES,
        path=("orphans", "*"),
    ),
    Section(
        model=Values,
        intro="Rules for the values of a table; the number is how many rows break them.",
        example=runbook_examples.VALUES,
        path=("values",),
    ),
    Section(
        model=Objects,
        intro="Objects of the schema, by the names that `gonogo objects` prints.",
        example=runbook_examples.OBJECTS,
        path=("objects",),
    ),
    Section(
        model=Structure,
        intro="The schema, object by object; the number is how many differ, and the first ten are named.",
        example=runbook_examples.STRUCTURE,
        path=("structure",),
    ),
    Section(
        model=Throughput,
        intro="Transactions a second, by pgbench. What its script writes stays written.",
        example=runbook_examples.THROUGHPUT,
        path=("throughput",),
    ),
    Section(
        model=Http,
        intro="A request to a web service; an address alone is enough. Without `field` it is sent `samples` times, and the number"
        " is the 95th percentile of its latency; `errors` is the share of answers without one of the expected statuses.",
        example=runbook_examples.HTTP,
        path=("http",),
    ),
    Section(
        model=Prometheus,
        intro="One number of a Prometheus server: the answer of an instant query.",
        example=runbook_examples.PROMETHEUS,
        path=("prometheus",),
    ),
    Section(
        model=Program,
        intro="A program with its arguments, as a check or as a step; a list of them, or a line, is enough. There is no shell. It"
        " reaches the target by PGHOST,"
        " PGPORT, PGUSER, PGDATABASE and PGPASSFILE. Without `field` and `pattern` the number of a check is its exit"
        " code; a step has no use for them. See [Steps](concepts/steps.md).",
        example=runbook_examples.RUN,
        path=("run",),
    ),
    Section(
        model=Criterion,
        intro="Something that the migration is a success by. The report says of each *met*, *not met* or *unknown*: what nothing"
        " answered is unknown, and what was rolled back is not met.",
        example=runbook_examples.SUCCESS,
        path=("success", "*"),
    ),
    Section(
        model=Monitor,
        intro="What is looked at also when no run is under way: `gonogo monitor shop-orders`, or its deployment in the control"
        " room. See [Alerts](concepts/alerts.md).",
        example=runbook_examples.MONITOR,
        path=("monitor",),
    ),
    Section(
        model=Alert,
        intro="A rule by which people are told: once when it is raised, once when it is well again.",
        example=runbook_examples.ALERTS,
        path=("alerts", "*"),
    ),
    Section(
        model=Backup,
        intro="A dump that is taken before the gate of the first phase, restored into a scratch database and compared: see"
        " [Backup](concepts/backup.md). Without a proof the gate is no-go.",
        example=runbook_examples.BACKUP,
        path=("backup",),
    ),
    Section(
        model=RestorePointPrograms,
        intro="Under `backup`: programs of yours that take a restore point, make a database of it, and put it back: see"
        " [Restore points at any size](concepts/backup.md#restore-points-at-any-size). Each gets what reaches the target (PGHOST"
        " and the like), and the variables that it names.",
        example=runbook_examples.PROGRAMS,
        path=("command",),
    ),
    Section(
        model=PgBackRest,
        intro="Under `backup`: a backup by pgBackRest, restored into a cluster beside the target's and compared. See"
        " [pgBackRest](concepts/backup.md#pgbackrest).",
        example=runbook_examples.PGBACKREST,
        path=("pgbackrest",),
    ),
    Section(
        model=Sample,
        intro="Under `backup`: how a restore point that is no dump is compared with what the target held.",
        example=runbook_examples.SAMPLE,
        path=("sample",),
    ),
    Section(
        model=Copies,
        intro="Under `rehearse_on` of a target: copies for rehearsals that something else makes. See"
        " [Copies of any size](concepts/rehearsal.md#copies-of-any-size).",
        example=runbook_examples.COPIES,
        path=("rehearse_on",),
    ),
    Section(
        model=Rehearsal,
        intro="The same plan, forward and back, on a restored copy: `gonogo rehearse shop-orders --target production`. See"
        " [Rehearsal](concepts/rehearsal.md). Without one of just this plan that is fresh enough, the gate is no-go.",
        example=runbook_examples.REHEARSAL,
        path=("rehearsal",),
    ),
    Section(
        model=Rollback,
        intro="The levels, who may ask for them, and what proves them: see [Rollback](concepts/rollback.md).",
        example=runbook_examples.ROLLBACK,
        path=("rollback",),
    ),
    Section(
        model=Switch,
        intro="What the levels `feature` and `data` do: scripts of their own, each in one transaction, and the checks that show"
        " that they did what they are for. What the run did is still there afterwards.",
        example=runbook_examples.SWITCH,
        path=("feature",),
    ),
)
#: the parts that have a section of their own
_PARTS = {section.model.__name__ for section in SECTIONS}


def cell(text: str) -> str:
    """Return a text of our own, which may hold links, as a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|") or "-"


def runbook_page() -> str:
    """Return the page, as Markdown."""
    schema = Runbook.model_json_schema()
    contents = "\n".join(f"- [{s.model.__name__}](#{s.model.__name__.lower()})" for s in SECTIONS)
    sections = (_section(section, schema) for section in SECTIONS)
    return "\n".join([_INTRO, f"## Parts\n\n{contents}\n", *sections])


def _section(section: Section, schema: dict[str, Any]) -> str:
    name = section.model.__name__
    properties = (schema if section.model is Runbook else schema["$defs"][name])["properties"]
    rows = [
        f"| `{key}` | {cell(_type(properties[key]))}; {cell(_default(field))} | {cell(field.description or '')} |"
        for key, field in section.model.model_fields.items()
    ]
    table = "\n".join(["| Field | Type; default | What it says |", "| --- | --- | --- |", *rows])
    return f"## {name}\n\n{section.intro}\n\n```yaml\n{section.example}```\n\n{table}\n"


def _type(schema: dict[str, Any]) -> str:
    """Say in words what a JSON Schema allows."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})" if name in _PARTS else name
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(option) for option in schema["anyOf"] if option.get("type") != "null"))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{word}`" for word in schema["enum"] if word)
    match schema.get("type"):
        case "array":
            return _array(schema)
        case "object":
            values = schema.get("additionalProperties") or next(iter(schema["patternProperties"].values()))
            return f"names, each with: {'any value' if values is True else _type(values)}"
        case "string":
            return _text(schema)
        case "integer" | "number":
            return ("a whole number" if schema["type"] == "integer" else "a number") + _bounds(schema)
        case "boolean":
            return "`true` or `false`"
        case _:
            return "any value"


def _array(schema: dict[str, Any]) -> str:
    if schema.get("words"):
        return "a line, or a list"
    return "two of: " + _type(schema["prefixItems"][0]) if "prefixItems" in schema else _list(schema["items"])


def _list(items: dict[str, Any]) -> str:
    if items.get("type") == "string" and "enum" not in items and "pattern" not in items:
        return "text, or a list"
    if not items:
        return "a list"
    return f"a list of: {_type(items)}"


def _text(schema: dict[str, Any]) -> str:
    pattern = schema.get("pattern", "")
    if pattern.startswith(r"^T\+"):
        return "an offset"
    if "examples" in schema:
        return "a duration"
    return "a name" if pattern else "text"


def _bounds(schema: dict[str, Any]) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if least is not None and most is not None:
        return f" from {least:,} to {most:,}"
    if above is not None and below is not None:
        return f" above {above:,} and below {below:,}"
    return ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.default
    if isinstance(value, timedelta):
        return f"`{say_duration(value)}`" if value else "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, BaseModel):
        return "its own defaults"
    if isinstance(value, tuple) and value:
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value}`" if value or value == 0 else "none"


__all__ = ["SECTIONS", "Section", "runbook_page"]
