"""A check, as a runbook defines it: a question, and the lines drawn beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from gonogo.core.model.check_kinds import (
    ACTIVITIES,
    SOUND,
    CheckKind,
    Column,
    Http,
    Objects,
    Program,
    Prometheus,
    References,
    Structure,
    Throughput,
    Values,
    always,
)
from gonogo.core.model.fields import Duration, Names, Part, as_list
from gonogo.core.model.threshold import TIMES, Threshold, parse_threshold


def _threshold_text(value: object) -> str:
    parse_threshold(value)
    return str(value).strip()


Rule = Annotated[str, BeforeValidator(_threshold_text)]
Rules = Annotated[tuple[Rule, ...], BeforeValidator(as_list)]


#: whose problem something is
Concern = Literal["database", "application", "security", "business"]


class Asks(Part):
    """What a check asks: exactly one of these kinds. A kind is one row here, and the module `checks/<kind>.py`."""

    about: str = Field(default="", description="What it means when it fails, for people.")
    sql: Annotated[str | None, CheckKind(external=False, as_role=True, template=str)] = Field(
        default=None, description="A template of a query: one row with one number, and optionally how much data it rests on."
    )
    time: Annotated[str | None, CheckKind(external=False, as_role=True, template=str, metrics=TIMES)] = Field(
        default=None, description="A template of a query whose latency is measured, in milliseconds."
    )
    calls: Annotated[str | None, CheckKind(external=False, as_role=True, template=str, metrics=("failed",))] = Field(
        default=None,
        description="A template of a call that answers `true` where all is well: the share of `samples` calls that raise, or"
        " answer anything else.",
    )
    query: Annotated[str | None, CheckKind(external=False, as_role=True)] = Field(
        default=None, description="The same as `sql`, with the query written here."
    )
    equal: Annotated[tuple[str, str] | None, CheckKind(external=False, as_role=True)] = Field(
        default=None, description="Two queries, each with one number; the check's number is the first minus the second."
    )
    rows: Annotated[Names | None, CheckKind(external=False, as_role=True)] = Field(default=None, description="Tables to count.")
    checksum: Annotated[Names | None, CheckKind(external=False)] = Field(
        default=None, description="Tables to checksum, whatever the order of their rows."
    )
    orphans: Annotated[References | None, CheckKind(external=False, as_role=True)] = Field(
        default=None,
        description="How many rows refer to nothing: by `all` foreign keys, also those that are not validated, or by the columns"
        " that you name.",
    )
    values: Annotated[Values | None, CheckKind(external=False, as_role=True)] = Field(
        default=None, description="How many rows break a rule for their values."
    )
    sound: Annotated[Annotated[tuple[Literal[SOUND], ...], BeforeValidator(as_list)] | None, CheckKind(external=False)] = Field(  # type: ignore[valid-type]
        default=None,
        description="How many of these are unsound: `constraints` that are not validated, `indexes` that are not valid,"
        " `sequences` whose value is below the maximum of their column.",
    )
    objects: Annotated[Objects | None, CheckKind(external=False)] = Field(
        default=None, description="How many objects are missing, or there although they must not be."
    )
    structure: Annotated[
        Structure | None, CheckKind(external=False, compares=lambda check: not check.like, template=lambda check: check.like)
    ] = Field(default=None, description="How many objects of the schema differ.")
    same_type: Annotated[tuple[tuple[Column, Column], ...] | None, CheckKind(external=False)] = Field(
        default=None, description="How many of these pairs of columns have different types, so that no key could join them."
    )
    buffers: Annotated[str | None, CheckKind(external=False, as_role=True, template=str)] = Field(
        default=None,
        description="A template of a query: how many buffers one call touches, without noise. `unchanged` compares its plan's"
        " shape.",
    )
    statements: Annotated[
        Annotated[int, Field(ge=1, le=1000)] | None, CheckKind(external=False, compares=always, metrics=("calls",))
    ] = Field(
        default=None,
        description="By pg_stat_statements: how many times slower the worst of that many busiest statements has become.",
    )
    plans: Annotated[Annotated[int, Field(ge=1, le=100)] | None, CheckKind(external=False, compares=always)] = Field(
        default=None,
        description="By pg_stat_statements: how many of that many busiest statements have another plan than before (PostgreSQL 16"
        " and later).",
    )
    throughput: Annotated[
        Throughput | None, CheckKind(external=True, template=lambda check: check.script, metrics=("latency", "failed"))
    ] = Field(default=None, description="How many transactions a second pgbench makes.")
    activity: Annotated[Literal[ACTIVITIES] | None, CheckKind(external=False)] = Field(  # type: ignore[valid-type]
        default=None,
        description="What the server is doing: `connections` (share of those allowed), `blocked` (sessions that wait for a lock),"
        " `oldest_transaction` (seconds), `long_queries` (those older than `older_than`), `dumps` that run, `replication_lag`"
        " (seconds), `wal_rate` (bytes a second), `dead_rows` (the worst table's share), `disk_free` (bytes).",
    )
    http: Annotated[Http | None, CheckKind(external=True, metrics=("status", "errors", *TIMES))] = Field(
        default=None, description="What a web service answers: its latency, or a field of its JSON."
    )
    prometheus: Annotated[Prometheus | None, CheckKind(external=True)] = Field(
        default=None, description="What a Prometheus server knows."
    )
    run: Annotated[Program | None, CheckKind(external=True, metrics=("exit", "seconds"))] = Field(
        default=None, description="What a program answers: its exit code, or a number in its output."
    )
    own: Annotated[str | None, CheckKind(external=True)] = Field(
        default=None, description="A check of the project's own: a function in its folder `checks/`, by the name it registers."
    )


CHECK_KINDS: Mapping[str, CheckKind] = {
    name: row for name, field in Asks.model_fields.items() for row in field.metadata if isinstance(row, CheckKind)
}


class Check(Asks):
    """A question with a threshold: exactly one of the kinds, and what must hold of its answer."""

    given: dict[str, Any] = Field(default={}, description="What that function is given.")
    concerns: Concern | Literal[""] = Field(
        default="", description="Whose problem it is: those whom `updates.contacts` names for that are mentioned, too."
    )
    only_on: Names = Field(
        default=(),
        description="The targets that it is asked on, where not on all; on other targets it is skipped in every list.",
    )
    expect: Rules = Field(default=(), description="What must hold, such as `= 0` or `p95 <= baseline + 10%`.")
    roll_back_if: Rule | None = Field(default=None, description="What rolls the run back, such as `> 10% in 2 of 3`.")
    at_least: str | int = Field(default=0, description="How much data an answer must rest on, such as `50 calls`.")
    then: Literal["roll back", "hold", "tell"] = Field(
        default="roll back", description="What it leads to when the watch trips on it: back, a hold, or only an update."
    )
    no_data: Literal["hold", "roll back", "ignore"] = Field(
        default="hold", description="What it leads to in the watch when it cannot be asked or answers nothing."
    )
    samples: Annotated[int, Field(ge=1, le=100_000)] = Field(default=50, description="How many calls `time` and `calls` make.")
    warm_up: Annotated[int, Field(ge=0, le=10_000)] = Field(default=3, description="How many calls come before them.")
    within: Duration = Field(
        default=timedelta(seconds=5), description="The time a measurement may take; a latency then rests on fewer calls."
    )
    older_than: Duration = Field(default=timedelta(minutes=5), description="What `long_queries` counts as long.")
    role: str = Field(
        default="", description="The role to ask as; it sees what that role may see. `settings` are set before SET ROLE."
    )
    settings: dict[str, str] = Field(default={}, description="Session settings, such as `app.tenant`, for that question alone.")
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
        self._thresholds_fit()
        if (self.role or self.settings) and not self.row.as_role:
            raise ValueError(f"role, settings: a `{self.kind}` check asks as gonogo's own role")
        if self.given and self.own is None:
            raise ValueError("given: it is for a check of your own, which `own:` names")
        words = str(self.at_least).split()
        if not words or not words[0].isdecimal():
            raise ValueError(f"at_least: {self.at_least!r} does not start with a whole number, such as 50 calls")
        return self

    def _thresholds_fit(self) -> None:
        if self.breach and self.breach.unchanged:
            raise ValueError("roll_back_if: `unchanged` would roll back when nothing changed; write the bad case, such as `> 0`")
        for threshold in self.expectations:
            if threshold.n > 1:
                raise ValueError(f"expect: {threshold.text!r} asks for several samples; only roll_back_if has them")
        for threshold in (*self.expectations, *([self.breach] if self.breach else [])):
            known = self.row.metrics
            if threshold.metric != "value" and threshold.metric not in known:
                named = f"{threshold.text!r} names the metric {threshold.metric!r}"
                there = f"; it has {', '.join(('value', *known))}" if known else ", which has its value only"
                raise ValueError(f"{named}, and this is a `{self.kind}` check{there}")

    @property
    def source(self) -> str:
        """The template that it asks with, if it has one."""
        return self.row.template(getattr(self, self.kind)) if self.row.template else ""

    @property
    def kind(self) -> str:
        """What sort of check it is."""
        return next(kind for kind in CHECK_KINDS if getattr(self, kind) is not None)

    @property
    def row(self) -> CheckKind:
        """What is true of its kind."""
        return CHECK_KINDS[self.kind]

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
        """What rolls the run back."""
        return parse_threshold(self.roll_back_if) if self.roll_back_if else None

    @property
    def needs_baseline(self) -> bool:
        """Whether it compares with what was before the first change."""
        compares = self.row.compares(getattr(self, self.kind))
        return compares or any(t.needs_baseline for t in (*self.expectations, *([self.breach] if self.breach else [])))
