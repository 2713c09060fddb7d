"""A project's own checks: functions in its folder `checks/`, which register themselves.

    from gonogo import Ask, check

    @check("margin")
    def margin(ask: Ask) -> float:
        return ask.number("SELECT ...", ask.given["price"])

A file is run as it was when the plan was sealed, or not at all.
"""

from __future__ import annotations

import hashlib
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import psycopg

from gonogo.errors import StepError


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What a check of a project's own has to ask with.

    A test of such a check makes one itself: `Ask(connection=psycopg.connect(url), given={"price": 3})`.
    """

    #: to the target, in a transaction that is read-only and is rolled back
    connection: psycopg.Connection[Any]
    #: what the runbook's `given:` says
    given: Mapping[str, Any] = field(default_factory=dict)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows that a query answers.

        Args:
            query: one SELECT; `%s` stands for each of the values.
            values: what is put in, as parameters.

        Raises:
            psycopg.Error: the server refused it; the check then has no answer.
        """
        return [tuple(row) for row in self.connection.execute(query.encode(), list(values) or None).fetchall()]

    def number(self, query: str, *values: Any) -> Any:
        """Return the one number that a query answers; None where it answers no row.

        Args:
            query: one SELECT; `%s` stands for each of the values.
            values: what is put in, as parameters.

        Raises:
            StepError: it answered more than one row.
            psycopg.Error: the server refused it; the check then has no answer.
        """
        rows = self.rows(query, *values)
        if len(rows) > 1:
            raise StepError("the query answered more than one row; one number is asked for")
        return rows[0][0] if rows else None


#: a number; or a number and how much data it rests on; None where there is no answer, which is never a pass
Answer: TypeAlias = int | float | Decimal | tuple[int | float | Decimal | None, int] | None
Function: TypeAlias = Callable[[Ask], Answer]
_F = TypeVar("_F", bound=Function)
_FOUND: dict[str, Function] = {}


def check(name: str) -> Callable[[_F], _F]:
    """Register a function as a check of the project's own.

    Args:
        name: what a runbook's `own:` says.
    """

    def register(function: _F) -> _F:
        _FOUND[name] = function
        return function

    return register


def registered(name: str) -> Function | None:
    """Return the function that is registered under a name."""
    return _FOUND.get(name)


def load(file: Path, sha256: str) -> None:
    """Run a file of checks, if it is the very one that was sealed.

    Args:
        file: where it is.
        sha256: of the one that was sealed.

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
