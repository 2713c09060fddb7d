"""A function of the project's own: `own: margin`. What such a function needs is in `gonogo/own_checks.py`."""

from __future__ import annotations

import warnings
from decimal import Decimal
from pathlib import Path
from typing import Any

from checks.asking import asking
from checks.kind import Question
from gonogo import own_checks
from gonogo.core.engine.verdict import Measurement
from gonogo.errors import StepError
from gonogo.postgres.connection import Connection


def __getattr__(name: str) -> Any:
    """Give what a project's checks imported from here before there was `from gonogo import Ask, check`."""
    if name in {"Ask", "check"}:
        notes = "`from checks.own import Ask, check` is now `from gonogo import Ask, check`; the old one goes in 1.0"
        warnings.warn(notes, FutureWarning, stacklevel=2)
        return getattr(own_checks, name)
    raise AttributeError(name)


def measure(question: Question, connection: Connection) -> Measurement:
    """Ask a function of the project's own, inside a read-only transaction."""
    name = str(question.check.own)
    file, sha256 = question.source
    if Path(file).is_absolute() or ".." in Path(file).parts or Path(file).parts[:1] != ("checks",):
        raise StepError(f"{file} does not lie in the project's checks/")
    own_checks.load(question.root / file, sha256)
    function = own_checks.registered(name)
    if function is None:
        raise StepError(f'{file} registers no check {name!r}; it has @check("...") before a function')
    with asking(question, connection, finds="theirs"):
        try:
            answer = function(own_checks.Ask(connection=connection, given=question.check.given))
        except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise StepError(f"{name}: {type(error).__name__}: {error}") from None
    value, count = answer if isinstance(answer, tuple) else (answer, None)
    if value is None:
        return Measurement(check=question.name, missing="it answered nothing", count=count)
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise StepError(f"{name} answered {type(value).__name__}, not a number")
    return Measurement(check=question.name, numbers={"value": str(value)}, count=count)
