"""What a program answers as JSON, in the last line that it prints."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gonogo.core.model.check_kinds import Program
from gonogo.errors import StepError
from gonogo.external.process import run_command
from gonogo.postgres.address import why_unclear
from gonogo.postgres.connection import Database

#: the password in an address: all up to the last @ of a word, as one that is not encoded may hold an @ itself
_PASSWORD, _STRUCK = re.compile(r"(://[^\s:/@\"']*:)[^\s\"']*@"), r"\1***@"


def ask(
    program: Program,
    root: Path,
    database: Database,
    given: Mapping[str, str],
    *,
    limit: float,
    needs: str = "",
    started: Callable[[int], None] = lambda _: None,
) -> Mapping[str, Any]:
    """Run a program to its end, and return what it answered: the object in the last line of its output.

    Args:
        program: the program.
        root: the folder of the project, in which it runs unless it says otherwise.
        database: the database that it may reach, as libpq's own variables.
        given: variables that only it gets, with their values.
        limit: the seconds that it may take.
        needs: a field that its answer must have, as a text; without one, it need not answer anything.
        started: is told the number of its group of processes.

    Raises:
        StepError: it fails, takes too long, or answers nothing of the kind.
    """
    answer = run_command(
        program.argv,
        folder=root / program.folder,
        environment=program.environment,
        given=given,
        url=database.url,
        url_as=program.url_as,
        limit=limit,
        started=started,
    )
    if answer.code:
        # what it was about to answer may hold the password of a copy, which nobody here knows
        raise StepError(f"{program.argv[0]} ended with {answer.code}: {_PASSWORD.sub(_STRUCK, answer.words)}")
    return _read(program.argv[0], answer.unredacted, needs)


def _read(name: str, output: str, needs: str) -> Mapping[str, Any]:
    """Return the object in the last line of what a program printed.

    Raises:
        StepError: there is none, or it cannot be what is needed.
    """
    lines = [line for line in output.splitlines() if line.strip()]
    try:
        said = json.loads(lines[-1]) if lines else {}
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, Mapping):
        if not needs:
            return {}
        raise StepError(f"{name}: the last line of its output is no JSON object")
    if needs and not (isinstance(said.get(needs), str) and said[needs]):
        raise StepError(f'{name}: the JSON object in the last line of its output has no text "{needs}"')
    for field in ("id", "url"):
        if isinstance(value := said.get(field, ""), str) and not value.isprintable():
            raise StepError(f'{name}: "{field}" in the last line of its output holds characters that cannot be printed')
    if said.get("url") and (why := why_unclear(str(said["url"]))):
        raise StepError(f'{name}: "url" in the last line of its output: {why}')
    return said


__all__ = ["ask"]
