"""A check, as a runbook defines it: a question, and the lines drawn beforehand."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from gonogo.core.parts import Duration, Names, Part, as_list
from gonogo.core.threshold import Threshold, parse_threshold


def _threshold_text(value: object) -> str:
    parse_threshold(value)
    return str(value).strip()


Rule = Annotated[str, BeforeValidator(_threshold_text)]
Rules = Annotated[tuple[Rule, ...], BeforeValidator(as_list)]


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
