"""What is typed on a command line, read: inputs, a moment, a run in its target's ledger."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from gonogo.core.model.schedule import local_time
from gonogo.errors import BadInput
from gonogo.planning.load import parse_yaml
from gonogo.planning.open import OpenedRunbook, open_for_run
from gonogo.postgres.connection import Connection, Database
from gonogo.run import runs, targets

_RUN = re.compile(r"([a-z][a-z0-9_-]*)-[0-9a-f]{6}")


def read_inputs(pairs: Sequence[str]) -> dict[str, Any]:
    """Read `NAME=VALUE` pairs; a value is YAML.

    Raises:
        BadInput: one is not such a pair.
    """
    values = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise BadInput(f"--input {pair!r} is not NAME=VALUE")
        values[name.strip()] = parse_yaml(text, f"--input {name}")[0]
    return values


def moment(text: str, zone: str) -> datetime | None:
    """Read a start time in a zone."""
    try:
        return local_time(text, zone) if text else None
    except ValueError as error:
        raise BadInput(f"--start: {error}") from None


@contextmanager
def named_run(name: str, target: str, run: str) -> Iterator[tuple[OpenedRunbook, Connection, str]]:
    """Find a run by its name alone: none of its events is read, so it is found whatever they are.

    Raises:
        BadInput: the runbook or the target is wrong.
        Refused: there is no such run.
    """
    with _looking(name, target, run) as (opened, _, connection, wanted):
        yield opened, connection, runs.require(connection, wanted, opened.name)


@contextmanager
def found_run(
    name: str, target: str, run: str, *, whole: bool = False, goes_on: bool = False
) -> Iterator[tuple[OpenedRunbook, Database, Connection, runs.FoundRun]]:
    """Find a run in its target's ledger.

    Args:
        name: the runbook, or the run.
        target: one of its targets; its first without one.
        run: which run; the newest without one.
        whole: whether all its events are read, not only those that say where it stands.
        goes_on: whether a restore by programs that was interrupted is gone on with first.

    Raises:
        BadInput: the runbook or the target is wrong.
        Refused: there is no such run.
    """
    with _looking(name, target, run, goes_on=goes_on) as (opened, database, connection, wanted):
        yield opened, database, connection, runs.find(connection, runbook=opened.name, run=wanted, whole=whole)


@contextmanager
def _looking(
    name: str, target: str, run: str, *, goes_on: bool = False
) -> Iterator[tuple[OpenedRunbook, Database, Connection, str]]:
    """Open a runbook and its target; the run that is wanted is the one that is named, either way."""
    named = _RUN.fullmatch(name)
    if named and not run:
        # a run's own id names its runbook too
        name, run = named.group(1), name
    opened = open_for_run(name, target, lambda text: sys.stderr.write(f"gonogo: {text}\n"))
    database = targets.reach(opened, goes_on=goes_on)
    with targets.connect_recovering(database, "gonogo/look") as connection:
        yield opened, database, connection, run
