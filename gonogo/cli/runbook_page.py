"""The page `docs/runbook.md`: the reference of the runbook, written from its model, so that it cannot be wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gonogo.core.duration import say_duration
from gonogo.core.runbook import (
    Backfill,
    Check,
    Gate,
    Input,
    Part,
    Person,
    Phase,
    Rollback,
    Runbook,
    Schedule,
    SqlSettings,
    Step,
    Target,
    Task,
    Updates,
)

_INTRO = """\
# The runbook

A runbook is one YAML file. It says what happens, when, under which conditions, and what turns it back.
This page is made from the model (`gonogo/core/runbook.py`) by `just docs`. [The concepts](index.md#concepts) say what
the words mean.

## How it is read

- `gonogo run hello` reads `runbooks/hello.yaml` of the project, which is the nearest folder above you with a `runbooks/`.
  A path works as well.
- Templates are looked for in `sql_templates/<name of the runbook>/`, then in `sql_templates/`.
- A key that is not in these tables is an error. `gonogo validate` tells every problem at once, with line and column.
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


_RUNBOOK = """\
runbook: shop-orders
title: Orders get a status
about: The status was guessed from two dates. It becomes a column of its own.

targets:
  test: {database: embedded}
  staging: {database: $STAGING_DATABASE_URL}

inputs:
  first_status: {default: new, choices: [new, open]}

schedule: {zone: Europe/Rome, end_by: "23:00"}

people:
  lead: {name: Technical lead, roles: [technical_lead]}

updates: {slack: "#migration", blockers: [technical_lead]}

sql: {lock_timeout: 2s, statement_timeout: 10m}

baseline: [customers_untouched]

phases:
  - phase: migrate
    gate: {go_if: [no_long_transactions]}
    tasks:
      - task: column
        title: Add the column
        owner: technical_lead
        takes: 5m
        steps:
          - {sql: 010_status.sql.j2, undo: 010_status.undo.sql}
    verify: [every_order_has_a_status]
    watch: [order_latency]
    soak: 10m

checks:
  no_long_transactions: {sql: checks/long_transactions.sql, expect: "= 0"}
  every_order_has_a_status: {sql: checks/without_status.sql, expect: "= 0"}
  customers_untouched: {checksum: [customers], expect: unchanged}
  order_latency: {time: checks/one_order.sql, roll_back_if: "p50 > baseline + 50% in 3 of 5"}

rollback: {prove: [no_long_transactions]}
"""
_TARGETS = """\
targets:
  test:
    database: embedded            # gonogo's own PostgreSQL 18, in .gonogo/ of the project
  staging:
    database: $STAGING_DATABASE_URL
    role: shop_owner
  production:
    database: postgresql://deploy@db.example.com/shop
    protected: true               # refused by this version
"""
_INPUTS = """\
inputs:
  batch_name:
    type: text                    # no default: a launch must give it
    help: What the rows are marked with.
  share:
    default: 0.5
    min: 0
    max: 1
  plan:
    default: small
    choices: [small, large]
"""
_SCHEDULE = """\
schedule:
  zone: Europe/Rome
  start: 2025-10-12T18:53
  end_by: "23:00"
"""
_PEOPLE = """\
people:
  ana:
    name: The release manager
    roles: [release_manager, technical_lead]
    slack: U012ABCDEF
"""
_UPDATES = """\
updates:
  slack: "#migration"
  progress: [10, 50, 90]
  blockers: [release_manager]
"""
_SQL = """\
sql:
  lock_timeout: 2s
  statement_timeout: 10m
  attempts: 20
"""
_PHASE = """\
phases:
  - phase: expand
    title: Add what is new
    gate: {go_if: [no_long_transactions, replicas_are_near]}
    tasks:
      - task: columns
        steps: [{sql: 010_columns.sql, undo: 010_columns.undo.sql}]
    verify: [every_order_has_a_status]
    watch: [order_latency, failures]
    every: 5s
    soak: 10m
    on_failure: roll back
  - phase: contract
    tasks:
      - task: drop-old
        steps: [{sql: 090_drop_old.sql, undo: 090_drop_old.undo.sql}]
    on_failure: hold
"""
_GATE = """\
gate:
  go_if: [no_long_transactions, replicas_are_near]
"""
_TASK = """\
tasks:
  - task: announce                # no steps: a row of the schedule
    title: Tell support
    about: They close the ticket queue.
    owner: release_manager
    takes: 15m
  - task: columns
    title: Add the columns
    owner: technical_lead
    takes: 5m
    at: T+15m
    steps:
      - {sql: 010_columns.sql, undo: 010_columns.undo.sql}
  - task: indexes
    after: [columns]
    steps:
      - {sql: 020_index.sql, undo: 020_index.undo.sql}
"""
_STEP = """\
steps:
  - step: columns
    sql: [010_orders.sql.j2, 011_items.sql.j2]
    undo: [010_orders.undo.sql, 011_items.undo.sql]   # as many as sql has: each reverses its own
    lock_timeout: 500ms
    statement_timeout: 5m
  - step: fill
    backfill: {table: orders, sql: 020_fill.sql.j2}
    undo: 020_fill.undo.sql
  - step: all of them
    check: [every_order_has_a_status]
  - step: make the archive
    sql: 030_archive.sql                              # CREATE DATABASE archive
    undo: nothing
    done_if: "SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'archive')"
  - step: move the archive
    sql: 040_move.sql                                 # ALTER DATABASE archive SET TABLESPACE slow_disks
    undo: 040_move.undo.sql
    again: safe
"""
_BACKFILL = """\
backfill:
  table: sales.orders
  sql: 020_fill.sql.j2            # UPDATE sales.orders SET status = 'new' WHERE {{ batch }} AND status IS NULL
  key: [customer_id, number]
  batch: 5000
"""
_CHECKS = """\
checks:
  failures:
    about: More than one call in ten fails.
    sql: checks/failures.sql      # SELECT share_of_failures, how_many_calls
    at_least: 50 calls
    expect: "= 0"
    roll_back_if: "> 10% in 2 of 3"
    no_data: ignore
    within: 20s
  order_latency:
    about: An order is placed in 200 ms; 50 % slower than before turns the run back.
    time: checks/one_order.sql    # it inserts: each call is rolled back
    writes: true
    samples: 40
    warm_up: 5
    within: 3s
    expect: ["p95 <= 200 ms", "p95 <= baseline + 10%"]
    roll_back_if: "p50 > baseline + 50% in 3 of 5"
  no_order_lost:
    rows: [orders, order_items]
    expect: unchanged
  customers_untouched:
    checksum: [customers]
    within: 2m
    expect: unchanged
"""
_ROLLBACK = """\
rollback:
  takes: 45m
  prove: [failures, customers_untouched]
"""

SECTIONS: tuple[Section, ...] = (
    Section(
        model=Runbook,
        intro="The whole file. `runbook`, `targets` and `phases` must be there.",
        example=_RUNBOOK,
    ),
    Section(
        model=Target,
        intro="A database that the runbook may run on: `gonogo run shop-orders --target staging`. It must be a primary of"
        " PostgreSQL 15 or later, reached without a pooler in transaction mode.",
        example=_TARGETS,
        path=("targets", "*"),
    ),
    Section(
        model=Input,
        intro="A value that templates use, and that a launch may set: `gonogo run shop-orders --input plan=large`. The value"
        " on the command line is read as YAML. See [Templates](concepts/templates.md).",
        example=_INPUTS,
        path=("inputs", "*"),
    ),
    Section(
        model=Schedule,
        intro="The clock of the plan. `start` is what the plan's times are counted from. A run that is launched before it"
        " waits for it, and each task's `at` counts from the start of its phase; `--at-once` waits for neither. `end_by` warns"
        " where the plan ends later, and a gate after it is no-go.",
        example=_SCHEDULE,
        path=("schedule",),
    ),
    Section(
        model=Person,
        intro="Somebody who owns a task or hears of trouble. Tasks and `updates.blockers` name the person or the role.",
        example=_PEOPLE,
        path=("people", "*"),
    ),
    Section(
        model=Updates,
        intro="Who is told what: see [Updates](concepts/updates.md).",
        example=_UPDATES,
        path=("updates",),
    ),
    Section(
        model=SqlSettings,
        intro="Limits of every script and every undo. A step may have its own.",
        example=_SQL,
        path=("sql",),
    ),
    Section(
        model=Phase,
        intro="A stretch with a gate, tasks, a verification and a soak. `gonogo run shop-orders --phase expand` launches one;"
        " without `--phase` all that are left follow one another.",
        example=_PHASE,
        path=("phases", "*"),
    ),
    Section(
        model=Gate,
        intro="Where a phase begins: go, or no-go. See [Gates](concepts/gates.md). Without a criterion it is always go.",
        example=_GATE,
        path=("gate",),
    ),
    Section(
        model=Task,
        intro="A row of the schedule, with its steps. A task without steps only takes its time on the plan's clock.",
        example=_TASK,
        path=("tasks", "*"),
    ),
    Section(
        model=Step,
        intro="Exactly one of `sql`, `backfill` and `check`. A step with `sql` or `backfill` should have an `undo`: without one"
        " the run cannot be turned back past it. `done_if` and `again` are for statements that no transaction can hold: see"
        " [In doubt](concepts/in-doubt.md).",
        example=_STEP,
        path=("steps", "*"),
    ),
    Section(
        model=Backfill,
        intro="A change to many rows, batch by batch: see [Backfill](concepts/backfill.md).",
        example=_BACKFILL,
        path=("backfill",),
    ),
    Section(
        model=Check,
        intro="A question with the line drawn beforehand. Exactly one of `sql`, `time`, `rows` and `checksum`. See"
        " [Checks and verdicts](concepts/checks-and-verdicts.md).",
        example=_CHECKS,
        path=("checks", "*"),
    ),
    Section(
        model=Rollback,
        intro="The way back, and what proves it: see [Rollback](concepts/rollback.md).",
        example=_ROLLBACK,
        path=("rollback",),
    ),
)
#: the parts that have a section of their own
_PARTS = {section.model.__name__ for section in SECTIONS}


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
        f"| `{key}` | {_cell(_type(properties[key]))}; {_cell(_default(field))} | {_cell(field.description or '')} |"
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
    if "enum" in schema:
        return " or ".join(f"`{word}`" for word in schema["enum"] if word)
    match schema.get("type"):
        case "array":
            return _list(schema["items"])
        case "object":
            values = schema.get("additionalProperties") or next(iter(schema["patternProperties"].values()))
            return f"names, each with: {_type(values)}"
        case "string":
            return _text(schema)
        case "integer" | "number":
            return ("a whole number" if schema["type"] == "integer" else "a number") + _bounds(schema)
        case "boolean":
            return "`true` or `false`"
        case _:
            return "any value"


def _list(items: dict[str, Any]) -> str:
    if items.get("type") == "string":
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


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


__all__ = ["SECTIONS", "Section", "runbook_page"]
