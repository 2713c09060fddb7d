"""What a program answers as JSON, in the last line that it prints."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from gonogo.core.model.check_kinds import Program
from gonogo.errors import GonogoError, StepError
from gonogo.external.process import run_command
from gonogo.postgres.address import why_unclear
from gonogo.postgres.connection import Database
from gonogo.postgres.same_database import is_same_database

#: the password in an address: all up to the last @ of a word, as one that is not encoded may hold an @ itself
_PASSWORD, _STRUCK = re.compile(r"(://[^\s:/@\"']*:)[^\s\"']*@"), r"\1***@"


class FailedAfterAnswer(StepError):
    """A program failed, and had answered all the same: what it made may be there.

    Args:
        message: what went wrong.
        said: what it answered.
    """

    def __init__(self, message: str, said: Mapping[str, Any]) -> None:
        self.said = said
        super().__init__(message)


@contextmanager
def lent(make: Callable[[], Mapping[str, Any]], drop: Callable[[str], object], target: Database) -> Iterator[str]:
    """Have a database that a program makes, by its address, and have it dropped afterwards, whatever happened.

    A program that is wrong may answer with the target: nothing is dropped of which it is not known that it is another database.

    Args:
        make: asks the program, which answers with a "url", and perhaps an "id".
        drop: asks another one to drop it, by that id or else by the database's name.
        target: what it is a copy of.

    Raises:
        StepError: it cannot be made, is the target, or cannot be dropped.
    """
    failed: FailedAfterAnswer | None = None
    try:
        said = make()
    except FailedAfterAnswer as error:
        failed, said = error, error.said
    url = str(said["url"])
    copy = str(said.get("id") or conninfo_to_dict(url).get("dbname") or "")
    if why := _why_kept(target, url, named=bool(said.get("id"))):
        raise StepError(f"{failed}; {copy!r} is not dropped: {why}" if failed else f"{why}; {copy!r} is not dropped")
    try:
        if failed is not None:
            raise failed
        yield url
    except BaseException:
        # what went wrong with the database is what people need to know first
        with suppress(StepError):
            drop(copy)
        raise
    drop(copy)


def _why_kept(target: Database, url: str, *, named: bool) -> str:
    """Say why what a program answered must not be dropped, if so; what it named itself may be, where nobody answers there."""
    try:
        with target.connect("gonogo/prove") as one, Database(url=url).connect("gonogo/prove") as other:
            return "what it made is the target itself" if is_same_database(one, other) else ""
    except (GonogoError, psycopg.Error) as error:
        return "" if named else f"whether what it made is the target is not known: {str(error).strip()}"


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
        FailedAfterAnswer: it fails, and had answered what was needed.
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
        why = f"{program.argv[0]} ended with {answer.code}: {_PASSWORD.sub(_STRUCK, answer.words)}"
        try:
            said = _read(program.argv[0], answer.unredacted, needs)
        except StepError:
            raise StepError(why) from None
        raise FailedAfterAnswer(why, said) if needs else StepError(why)
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


__all__ = ["FailedAfterAnswer", "ask", "lent"]
