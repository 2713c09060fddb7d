"""What a migration is a success by, as a runbook says it: criteria that checks and people answer, and nobody silently."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from gonogo.core.model.fields import Part


class Criterion(Part):
    """One thing that must have come true; the report says of each whether it was met, not met, or is unknown."""

    criterion: str = Field(description="What it is, in people's words.", min_length=1)
    check: str = Field(
        default="",
        description="The check that answers it, by its newest verdict in the run; it is asked at the end, too."
        " `rehearsal_fresh` and `backup_proved` stand for what the gate knew of them.",
    )
    item: str = Field(default="", description="Or the item of a checklist that people confirm.")
    budget: Literal["", "downtime", "rollback"] = Field(default="", description="Or the budget that it must stay within.")
    sort: Literal["technical", "business", "security"] = Field(default="technical", description="What sort of success it is.")

    @model_validator(mode="after")
    def _one_answer(self) -> Criterion:
        if sum(map(bool, (self.check, self.item, self.budget))) != 1:
            raise ValueError("a criterion is answered by exactly one of `check`, `item` and `budget`")
        return self
