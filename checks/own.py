"""Checks of the project's own: a function in its folder `checks/`, which registers itself.

    from checks.own import Ask, check

    @check("margin")
    def margin(ask: Ask) -> float:
        return ask.number("SELECT ...", ask.given["price"])

The file is run as it was when the plan was sealed, or not at all.
"""

from __future__ import annotations

import hashlib
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

from checks.asking import asking
from checks.kind import Question
from gonogo.core.engine.verdict import Measurement
from gonogo.errors import StepError
from gonogo.postgres.connection import Connection


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What a check of one's own has to ask with."""

    connection: Connection
    #: what the runbook gives it
    given: Mapping[str, Any]

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return what a query answers; `%s` stands for each of the values."""
        return [tuple(row) for row in self.connection.execute(query.encode(), list(values) or None).fetchall()]

    def number(self, query: str, *values: Any) -> Any:
        """Return the one number that a query answers; None where it answers nothing."""
        rows = self.rows(query, *values)
        if len(rows) > 1:
            raise StepError("the query answered more than one row; one number is asked for")
        return rows[0][0] if rows else None


#: a number; or a number and how much data it rests on
Answer: TypeAlias = int | float | Decimal | tuple[int | float | Decimal | None, int] | None
Function: TypeAlias = Callable[[Ask], Answer]
_FOUND: dict[str, Function] = {}


def check(name: str) -> Callable[[Function], Function]:
    """Register a function under the name that a runbook's `own:` says."""

    def register(function: Function) -> Function:
        _FOUND[name] = function
        return function

    return register


def load(file: Path, sha256: str) -> None:
    """Run a file of checks, if it is the very one that was sealed.

    Raises:
        StepError: it is gone, another one, or does not run.
    """
    try:
        source = file.read_bytes()
    except OSError as error:
        raise StepError(f"{file}: {error.strerror}") from None
    if hashlib.sha256(source).hexdigest() != sha256:
        raise StepError(f"{file} is not the file that was approved; plan and approve the new one")
    module = types.ModuleType(f"gonogo_own_{file.stem}")
    module.__file__ = str(file)
    try:
        exec(compile(source, str(file), "exec"), module.__dict__)  # noqa: S102 - the project's own code, as it was approved
    except Exception as error:  # noqa: BLE001 - whatever it raises, it is the file that is wrong
        raise StepError(f"{file}: {type(error).__name__}: {error}") from None


def measure(question: Question, connection: Connection) -> Measurement:
    """Ask a function of the project's own, inside a read-only transaction."""
    name = str(question.check.own)
    file, sha256 = question.source
    if Path(file).is_absolute() or ".." in Path(file).parts or Path(file).parts[:1] != ("checks",):
        raise StepError(f"{file} does not lie in the project's checks/")
    load(question.root / file, sha256)
    if name not in _FOUND:
        raise StepError(f'{file} registers no check {name!r}; it has @check("...") before a function')
    with asking(question, connection):
        try:
            answer = _FOUND[name](Ask(connection=connection, given=question.check.given))
        except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise StepError(f"{name}: {type(error).__name__}: {error}") from None
    value, count = answer if isinstance(answer, tuple) else (answer, None)
    if value is None:
        return Measurement(check=question.name, missing="it answered nothing", count=count)
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise StepError(f"{name} answered {type(value).__name__}, not a number")
    return Measurement(check=question.name, numbers={"value": str(value)}, count=count)
