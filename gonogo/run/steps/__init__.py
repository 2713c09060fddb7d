"""What a step does: a module for each kind, named like the kind (`gonogo/core/model/step.py` has its row).

Each has `perform`, and `undo` where its row says that it is reversible.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Protocol, TypeAlias, cast

from gonogo.core.engine.commands import RunUndo
from gonogo.core.engine.events import Body, Event
from gonogo.core.engine.verdict import Judgement
from gonogo.errors import StepError
from gonogo.run.context import Context

#: an event to append, or one that was recorded in the very transaction of what it tells of
Outcome: TypeAlias = Body | Event


class CheckFailed(StepError):
    """A check of a step failed.

    Args:
        why: what did not pass.
        judged: every verdict.
    """

    def __init__(self, why: str, judged: tuple[Judgement, ...]) -> None:
        self.judged = judged
        super().__init__(why)


class StepModule(Protocol):
    """What the module of a kind has."""

    def perform(self, context: Context, number: int, index: int) -> Iterator[Outcome]:
        """Do a step, or one script of it.

        Args:
            context: the run.
            number: the step.
            index: its script.

        Raises:
            ScriptFailed: it failed, or takes too long; what it did may have stayed.
            CheckFailed: a check failed.
            Stopped: the watch cancelled it.
        """

    def undo(self, context: Context, command: RunUndo) -> Iterator[Outcome]:
        """Run one undo script of a step, where the kind is reversible.

        Raises:
            ScriptFailed: it failed.
        """


def of(kind: str) -> StepModule:
    """Return the module of a kind of step."""
    return cast(StepModule, import_module(f"gonogo.run.steps.{kind}"))
