"""Every measurement: one kind of check is one small module that registers itself here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import psycopg

from gonogo import clock
from gonogo.blockers import told
from gonogo.core.check import Check
from gonogo.core.plan import Plan
from gonogo.core.verdict import Measurement
from gonogo.database import Connection, Database
from gonogo.errors import StepError


@dataclass(frozen=True, kw_only=True)
class Around:
    """What is around a check: all that it may need beside its connection."""

    #: the SQL of the plan's scripts, by sha256
    texts: Mapping[str, str] = field(default_factory=dict)
    #: the project, whose programs and own checks may be run
    root: Path = field(default_factory=Path)
    database: Database | None = None
    #: why no program may be run, where none may: the plan is not one that this project opened
    distrust: str = ""


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
    distrust: str = ""
    #: what it measured before the first change, if that is known
    baseline: Measurement | None = None

    def require_trust(self) -> None:
        """See that what is about to be run was written by the project, and not by whoever may write to the ledger.

        Raises:
            StepError: it cannot be seen.
        """
        if self.distrust:
            raise StepError(self.distrust)


Measure: TypeAlias = Callable[[Question, Connection], Measurement]
_KINDS: dict[str, Measure] = {}


def measures(kind: str) -> Callable[[Measure], Measure]:
    """Register the function that measures a kind of check."""

    def register(function: Measure) -> Measure:
        _KINDS[kind] = function
        return function

    return register


def measure(plan: Plan, name: str, around: Around, connection: Connection, baseline: Measurement | None = None) -> Measurement:
    """Ask one check; whatever goes wrong is part of the answer.

    Args:
        plan: where the check is defined.
        name: the check.
        around: what else it may need.
        connection: a connection that is not the one running steps.
        baseline: what it measured before the first change.
    """
    script = plan.questions.get(name)
    question = Question(
        name=name,
        check=plan.checks[name],
        text=around.texts[script.sha256] if script else "",
        source=(script.source, script.sha256) if script else ("", ""),
        root=around.root,
        database=around.database,
        distrust=around.distrust,
        baseline=baseline,
    )
    began = clock.monotonic()
    try:
        measured = _KINDS[question.check.kind](question, connection)
    except psycopg.Error as error:
        measured = Measurement(check=name, error=told(error, connection))
    except StepError as error:
        measured = Measurement(check=name, error=str(error))
    except Exception as error:  # noqa: BLE001 - whatever a check raises, it has given no answer; silence would be a pass
        measured = Measurement(check=name, error=f"{type(error).__name__}: {str(error)[:200]}")
    return measured.model_copy(update={"seconds": round(clock.monotonic() - began, 3)})


from checks import (  # noqa: E402 - they register themselves
    activity,
    buffers,
    latency,
    own,
    plans,
    program,
    query,
    references,
    sound,
    statements,
    structure,
    tables,
    throughput,
    values,
    web,
)

__all__ = [
    "Around",
    "Question",
    "activity",
    "buffers",
    "latency",
    "measure",
    "measures",
    "own",
    "plans",
    "program",
    "query",
    "references",
    "sound",
    "statements",
    "structure",
    "tables",
    "throughput",
    "values",
    "web",
]
