"""What a program answers as JSON, in the last line that it prints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gonogo.core.model.check_kinds import Program
from gonogo.errors import StepError
from gonogo.external.process import run_command
from gonogo.postgres.connection import Database


def ask(
    program: Program, root: Path, database: Database, given: Mapping[str, str], *, limit: float, needs: str = ""
) -> Mapping[str, Any]:
    """Run a program to its end, and return what it answered: the object in the last line of its output.

    Args:
        program: the program.
        root: the folder of the project, in which it runs unless it says otherwise.
        database: the database that it may reach, as libpq's own variables.
        given: variables that only it gets, with their values.
        limit: the seconds that it may take.
        needs: a field that its answer must have, as a text; without one, it need not answer anything.

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
    )
    name = program.argv[0]
    if answer.code:
        raise StepError(f"{name} ended with {answer.code}: {answer.words}")
    lines = [line for line in answer.unredacted.splitlines() if line.strip()]
    try:
        said = json.loads(lines[-1]) if lines else {}
    except ValueError:
        said = None
    if not isinstance(said, Mapping):
        if not needs:
            return {}
        raise StepError(f"{name}: the last line of its output is no JSON object")
    if needs and not (isinstance(said.get(needs), str) and said[needs]):
        raise StepError(f'{name}: the JSON object in the last line of its output has no text "{needs}"')
    return said


__all__ = ["ask"]
