"""A step, as a runbook writes it: one thing that a task does, and what reverses it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from gonogo.core.model.check import Rule
from gonogo.core.model.check_kinds import Http, Program, split_line
from gonogo.core.model.fields import Duration, Names, Part
from gonogo.core.model.people import Item
from gonogo.core.model.threshold import parse_threshold


def _percent(value: object) -> str:
    text = str(value).strip()
    if not re.fullmatch(r"\+?\d{1,4}%", text):
        raise ValueError(f"{text!r} is no share in percent, such as 25%")
    return text


#: a share, as people write it
Percent = Annotated[str, BeforeValidator(_percent, json_schema_input_type=str)]


class Pace(Part):
    """How a backfill keeps out of the application's way: it slows down, stops and goes on by itself."""

    mode: Literal["guarded", "fixed", "flat out"] = Field(
        default="guarded",
        description="`guarded`: it looks for the pace at which nobody notices it. `fixed`: it rests after each batch for as"
        " long as `rest` says. `flat out`: one batch after the other.",
    )
    slows_others: Percent = Field(
        default="25%",
        description="How much slower a small call may become: reading one row of the table, and a commit (the 95th percentile of"
        " a probe of its own, beside what that was before it began).",
    )
    batch_takes: Duration = Field(
        default=timedelta(milliseconds=50),
        description="How long a batch may take, while its rows are locked; where batches take longer, they become smaller, down"
        " to a tenth of `batch`.",
    )
    rest: Duration = Field(default=timedelta(0), description="Of `fixed`: how long it rests after each batch.")
    lag: Duration | None = Field(
        default=timedelta(seconds=1),
        description="How far the slowest standby may be behind; beyond that it stops until it is not.",
    )
    archive: Annotated[int, Field(ge=1)] | None = Field(
        default=50, description="How many WAL files may wait to be archived; beyond that it stops until they are."
    )
    waiting: Annotated[int, Field(ge=1)] | None = Field(
        default=5, description="How many sessions of this database may wait for locks; beyond that it stops until they do not."
    )
    vacuum_at: Percent | None = Field(
        default=None,
        description="Above how many dead rows, as a share of all rows, it runs VACUUM on the table between two batches; without"
        " it, that is left to autovacuum.",
    )
    goes_on_if: Names = Field(default=(), description="Checks that must pass; while one does not, it stops.")
    every: Duration = Field(
        default=timedelta(seconds=1),
        description="How often those checks are asked; what is built in is looked at five times a second.",
    )

    @model_validator(mode="after")
    def _mode_has_what_it_needs(self) -> Pace:
        if self.rest and self.mode != "fixed":
            raise ValueError(f"rest: it is for `mode: fixed`; a backfill that is {self.mode} rests as it must")
        if self.mode == "fixed" and not self.rest:
            raise ValueError("mode: fixed: `rest` says how long it rests after each batch, such as 100ms")
        return self


class Backfill(Part):
    """Work through a table by key, in batches that each commit with their cursor."""

    table: str = Field(description="The table to work through, with its schema where that is not `public`.", min_length=1)
    sql: str = Field(description="The template of one batch; it says WHERE {{ batch }}, or {{ batch_of('alias') }}.")
    key: Names = Field(default=(), description="The columns to work by; without them, the primary key.")
    batch: Annotated[int, Field(ge=1, le=1_000_000)] = Field(default=1000, description="How many rows a batch takes at most.")
    pace: Pace = Field(default=Pace(), description="How it keeps out of the application's way.")


class UndoBackfill(Part):
    """Take a backfill back in batches, the newest first: of the rows that it changed, those that nobody changed since."""

    backfill: str = Field(
        description="The template that reverses one batch; it says WHERE {{ batch }}, or {{ batch_of('alias') }}.", min_length=1
    )


def _as_written(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


#: the name of a change, or its number
ChangeName = Annotated[str, BeforeValidator(_as_written, json_schema_input_type=str | int)]


class MigrationFolder(Part):
    """A folder of migrations that another tool keeps: some of its changes, each a step with its rollback."""

    folder: str = Field(description="The folder, from the project's.", min_length=1)
    tool: str = Field(
        default="",
        description="The tool that keeps it, such as `dbmate`; without one, it is recognised by its files. Of `alembic` the"
        " folder is that of `alembic.ini`; it writes its SQL itself, as the plan is made.",
    )
    command: Names = Field(default=(), description="How Alembic is started, such as `[uv, run, alembic]`; without it, `alembic`.")
    since: ChangeName = Field(
        default="", description="The change after which it begins: the newest one that is done already. Without one, the first."
    )
    to: ChangeName = Field(default="", description="The last change that is done; without one, the folder's last.")
    record: bool = Field(
        default=True,
        description="Whether each change is recorded in the tool's own table, in its transaction, and its undo takes that back.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepKind:
    """What is true of a kind of step, whatever it does: the row that stands at its field.

    What it does is in `gonogo/run/steps/<kind>.py`.
    """

    #: whether it acts beyond the database: a program, a request. There is no default: such a step is only done where this
    #: project is known to have written it, is in doubt after a crash, and is left out of a rehearsal unless it says otherwise
    external: bool
    #: whether it changes the database by SQL of templates
    changes: bool = False
    #: whether each of its scripts is an event of its own; else one event ends the step
    counts_scripts: bool = False
    #: whether it leaves something that an undo must reverse
    reversible: bool = False
    #: whether the plan has fields of its own for it; else what the runbook says is handed to its module as it is
    planned: bool = False
    #: the word before what it does, for people
    verb: str = ""


def _undo_sort(value: object) -> str:
    if isinstance(value, Program) or (isinstance(value, dict) and "argv" in value):
        return SORTS[2]
    if isinstance(value, UndoBackfill) or (isinstance(value, dict) and "backfill" in value):
        return SORTS[3]
    return SORTS[isinstance(value, (dict, Http))]


#: some names, one request, one program, or batches: `SORTS` are what they are called in the places of what is wrong
SORTS = ("<names>", "<request>", "<program>", "<batches>")
Undo = Annotated[
    Annotated[Names, Tag(SORTS[0])]
    | Annotated[Http, Tag(SORTS[1])]
    | Annotated[Program, Tag(SORTS[2])]
    | Annotated[UndoBackfill, Tag(SORTS[3])],
    Discriminator(_undo_sort),
]


class Step(Part):
    """One thing that a task does, of exactly one kind."""

    step: str = Field(default="", description="Its name; without one, its task's name and its number.")
    sql: Annotated[Names | None, StepKind(external=False, planned=True, changes=True, counts_scripts=True, reversible=True)] = (
        Field(default=None, description="A template, a list of them, or a glob; run in that order.")
    )
    backfill: Annotated[
        Backfill | None, StepKind(external=False, planned=True, changes=True, reversible=True, verb="backfill")
    ] = Field(default=None, description="A table to work through in batches.")
    run: Annotated[Program | None, StepKind(external=True, planned=True, reversible=True, verb="run")] = Field(
        default=None, description="A program to run; only its `undo` can reverse what it does."
    )
    http: Annotated[Http | None, StepKind(external=True, planned=True, reversible=True)] = Field(
        default=None, description="A request to a web service, made once; another status than `status` is a failure."
    )
    check: Annotated[Names | None, StepKind(external=False, planned=True, verb="check")] = Field(
        default=None, description="Checks that must pass here."
    )
    confirm: Annotated[tuple[Item, ...] | None, StepKind(external=False, planned=True, verb="people confirm")] = Field(
        default=None, description="What people confirm here; the run waits for them."
    )
    wait: Annotated[Duration | None, StepKind(external=False, planned=True, verb="wait")] = Field(
        default=None, description="How long to wait; the watch goes on meanwhile."
    )
    migrations: MigrationFolder | None = Field(
        default=None,
        description="Changes that another migration tool keeps, each a step of kind `sql` with the rollback that the tool has.",
    )
    undo: Undo | None = Field(
        default=None,
        description="The templates that reverse it. As many as `sql` has, and each reverses its own; "
        "`nothing` says that there is nothing to reverse. Of a `run` step, the program that reverses it: its words, run where"
        " and with what the step's runs, or `{argv: [...], folder: ..., environment: [...]}` of its own; of an `http` step, the"
        " request that does; of a `backfill` step, `{backfill: template}` takes it back in batches.",
    )
    within: Duration | None = Field(
        default=None, description="How long a `run` step may take (30 minutes without it), or a request (30 seconds)."
    )
    only_on: Names = Field(
        default=(), description="The targets that it is done on, where not on all: sample data has no place in production."
    )
    in_rehearsal: bool = Field(
        default=False,
        description="Whether a `run` or an `http` step is done in a rehearsal too, where a program reaches the copy; else it is"
        " left out.",
    )
    lock_timeout: Duration | None = Field(default=None, description="This step's own lock_timeout.")
    statement_timeout: Duration | None = Field(default=None, description="This step's own statement_timeout.")
    keeps: str | dict[str, str] = Field(
        default="",
        description="Why its undo destroys no row that the application wrote since, although it drops, deletes or overwrites."
        " One reason speaks of the tables that were there before the step; a mapping of tables to reasons of those, also of new"
        " ones. Without it, an undo that would destroy such rows waits for a person.",
    )
    journal: str = Field(
        default="",
        description="A query with one number: the rows that the application wrote since the step; else it is estimated.",
    )
    rows: Rule | None = Field(
        default=None,
        description="How many rows its INSERT, UPDATE, DELETE and MERGE must change, such as `> 0`; else it fails, and nothing of"
        " it stays.",
    )
    no_return: bool = Field(
        default=False,
        description="Whether this is the point of no return: once it has begun, nothing rolls back by itself any more; the run"
        " holds, and a person goes forward or restores.",
    )
    done_if: str = Field(
        default="", description="A query with one boolean: whether the step has happened, when a crash left it in doubt."
    )
    again: Literal["", "safe"] = Field(default="", description="`safe`: running it twice does no harm.")

    @model_validator(mode="after")
    def _one_kind(self) -> Step:
        kinds = [kind for kind in (*STEP_KINDS, "migrations") if getattr(self, kind) is not None]
        if len(kinds) != 1:
            found = " and ".join(kinds) or "none of them"
            raise ValueError(f"a step does exactly one of {', '.join((*STEP_KINDS, 'migrations'))}; this one has {found}")
        if self.migrations is not None:
            self._says_nothing_that_the_folder_says()
            return self
        self._undo_is_of_its_kind(kinds[0])
        self._rows_can_be_counted(kinds[0])
        if empty := [key for key in ("sql", "check", "confirm", "undo") if getattr(self, key) == ()]:
            raise ValueError(f"{empty[0]}: an empty list names nothing" + ("; write `nothing`" if empty[0] == "undo" else ""))
        return self

    def _says_nothing_that_the_folder_says(self) -> None:
        for key in ("step", "undo", "rows", "done_if", "journal", "within"):
            if getattr(self, key) not in (None, ""):
                raise ValueError(f"{key}: `migrations` is a step for each change of the folder, which has its own")

    def _undo_is_of_its_kind(self, kind: str) -> None:
        if self.undo in (None, (), ("nothing",)):
            return
        if isinstance(self.undo, UndoBackfill):
            if kind != "backfill":
                raise ValueError(f"undo: batches reverse a `backfill` step only; this is a `{kind}` step")
            return
        if isinstance(self.undo, Program) and kind != "run":
            raise ValueError(f"undo: a program reverses a `run` step only; this is a `{kind}` step")
        if isinstance(self.undo, Http) != (kind == "http"):
            raise ValueError(
                "undo: what reverses a request is a request: {method: DELETE, url: ...}, or `nothing`"
                if kind == "http"
                else f"undo: a request reverses an `http` step only; this is a `{kind}` step"
            )
        if self.run is not None and isinstance(self.undo, tuple) and len(self.undo) == 1:
            split_line(self.undo[0])

    def _rows_can_be_counted(self, kind: str) -> None:
        if self.rows is None:
            return
        rule = parse_threshold(self.rows)
        if kind != "sql":
            raise ValueError(f"rows: of a `{kind}` step nobody counts the rows that it changes; a `check` step after it can")
        if rule.needs_baseline or rule.metric != "value" or rule.n > 1:
            raise ValueError(f"rows: {self.rows!r} does not compare with a number, as this does: `> 0`")

    @property
    def kind(self) -> str:
        """What sort of step it is."""
        # a change of another tool is SQL, as any other
        return next((kind for kind in STEP_KINDS if getattr(self, kind) is not None), "sql")


STEP_KINDS: Mapping[str, StepKind] = {
    name: row for name, field in Step.model_fields.items() for row in field.metadata if isinstance(row, StepKind)
}
