"""What a check is asked with, whatever its kind: the question, and what it may use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from gonogo.core.engine.verdict import Measurement
from gonogo.core.model.check import Check
from gonogo.errors import StepError
from gonogo.postgres.connection import Connection, Database


@dataclass(frozen=True, kw_only=True)
class CheckEnvironment:
    """What the checks of a plan may use beside their connection."""

    #: the SQL of the plan's scripts, by sha256
    texts: Mapping[str, str] = field(default_factory=dict)
    #: the project, whose programs and own checks may be run
    root: Path = field(default_factory=Path)
    database: Database | None = None
    #: why nothing may act beyond the database, if it may not: the plan is not one that this project opened
    untrusted: str = ""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A check, ready to be asked."""

    name: str
    check: Check
    text: str = ""
    #: the file that it asks with, and its sha256
    source: tuple[str, str] = ("", "")
    root: Path = field(default_factory=Path)
    database: Database | None = None
    untrusted: str = ""
    #: what it measured before the first change, if that is known
    baseline: Measurement | None = None

    def require_trust(self) -> None:
        """Refuse to run what the project may not have written: whoever may write to the ledger could have.

        Raises:
            StepError: it is not known to be the project's.
        """
        if self.untrusted:
            raise StepError(self.untrusted)


#: how a kind of check is asked; the module `checks/<kind>.py` has one, named `measure`
Measure: TypeAlias = Callable[[Question, Connection], Measurement]
