"""What is looked at outside of a run, and who hears of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field, model_validator

from gonogo.core.model.check import Rule
from gonogo.core.model.fields import Duration, Identifier, Names, Part
from gonogo.core.model.threshold import Threshold, parse_threshold


class Alert(Part):
    """A rule by which people are told, whether or not a run is under way."""

    alert: Identifier = Field(description="Its short name, once in the runbook.")
    check: str = Field(description="The check that it looks at.")
    when: Rule = Field(description="What raises it, such as `> 80%` or `> 10 in 2 of 3`; strictly as written.")
    to: Names = Field(default=(), description="The people, or the roles, who are mentioned.")
    channel: str = Field(default="", description="The Slack channel; that of `updates` without one.")

    @model_validator(mode="after")
    def _can_be_raised(self) -> Alert:
        if self.threshold.unchanged:
            raise ValueError("when: `unchanged` would raise it as long as all is well; write what is wrong, such as `> 0`")
        return self

    @property
    def threshold(self) -> Threshold:
        """What raises it."""
        return parse_threshold(self.when)


class Monitor(Part):
    """What is looked at again and again, by `gonogo monitor` or by its deployment in the control room."""

    every: Annotated[Duration, Field(ge=timedelta(seconds=10))] = Field(
        default=timedelta(minutes=5), description="How often it is looked at; 10s at the least."
    )
    alerts: tuple[Alert, ...] = Field(min_length=1, description="The rules.")
