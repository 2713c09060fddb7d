"""How a target is reached, and who reaches it."""

from __future__ import annotations

import getpass
import os
import platform
import sys
from pathlib import Path

from gonogo.errors import ConnectionsDisabled, Refused
from gonogo.planning.open import OpenedRunbook
from gonogo.postgres import embedded
from gonogo.postgres.address import resolve_url
from gonogo.postgres.connection import Connection, Database


def whoami() -> str:
    """Return who launches, for the ledger."""
    try:
        return f"{getpass.getuser()}@{platform.node()}"
    except (KeyError, OSError):
        return f"uid {os.getuid()}@{platform.node()}"


def reach(opened: OpenedRunbook, *, goes_on: bool = False) -> Database:
    """Return how to reach the target that is meant; the embedded PostgreSQL is started.

    Args:
        opened: its runbook.
        goes_on: whether a restore by programs that was interrupted is gone on with; else it is refused to look at what it left.

    Raises:
        BadInput: its address is not set.
        Unreachable: the embedded PostgreSQL does not start.
        Refused: a restore by programs is under way, was interrupted, or failed.
    """
    chosen = opened.chosen
    url = address_of(chosen.direct or chosen.database, opened.project.state)
    database = Database(url=url, role=chosen.role, search_path=opened.runbook.sql.search_path)
    if (folder := restore_folder(opened.project.state, opened.name, opened.target)).is_dir():
        _go_on_restoring(opened, database, folder, goes_on=goes_on)
    return database


def address_of(stated: str, state: Path) -> str:
    """Return the URL that a runbook's words for a database mean; the embedded PostgreSQL is started.

    Args:
        stated: `embedded`, `$NAME` or a URL.
        state: the project's folder of state.

    Raises:
        BadInput: its address is not set.
        Unreachable: the embedded PostgreSQL does not start.
    """
    return embedded.start(state / "postgres", database="target") if stated == "embedded" else resolve_url(stated)


def restore_folder(state: Path, runbook: str, target: str) -> Path:
    """Return where a restore by programs is kept while it is under way.

    Args:
        state: the project's folder of state.
        runbook: the runbook.
        target: which of its targets.
    """
    return state / "restores" / f"{runbook}@{target}"


def _go_on_restoring(opened: OpenedRunbook, database: Database, folder: Path, *, goes_on: bool) -> None:
    from gonogo.recovery.manifest import BackupFailed  # noqa: PLC0415 - nobody else needs it
    from gonogo.recovery.providers import Place  # noqa: PLC0415 - as above
    from gonogo.recovery.put_back import Restoring  # noqa: PLC0415 - as above

    def say(text: str) -> None:
        sys.stderr.write(f"gonogo: {text}\n")

    if not goes_on:
        raise Refused(
            f"a restore of {opened.target} is under way, or was interrupted: its ledger may be an old one until that is over."
            f" Wait for it, or go on with it: gonogo resume {opened.name} --target {opened.target}"
        )
    try:
        Restoring(place=Place(database=database, root=opened.project.files, say=say), folder=folder).go_on()
    except BackupFailed as error:
        raise Refused(f"restore: {error}") from None


def connect_recovering(database: Database, name: str) -> Connection:
    """Connect; where a restore died as it was about to swap names, finish it first, or take it back.

    Raises:
        Unreachable: the server does not answer, or refuses the login.
        Refused: a restore is under way.
    """
    try:
        return database.connect(name)
    except ConnectionsDisabled:
        from gonogo.recovery.restore import settle  # noqa: PLC0415 - nobody else needs it

        sys.stderr.write(f"gonogo: {settle(database)}\n")
        return database.connect(name)
