"""How a target is reached, and who reaches it."""

from __future__ import annotations

import getpass
import os
import platform
import sys

from gonogo.core.model.runbook import Runbook
from gonogo.errors import ConnectionsDisabled
from gonogo.planning.load import choose_target
from gonogo.postgres import embedded
from gonogo.postgres.connection import Connection, Database, resolve_url
from gonogo.project import Project


def whoami() -> str:
    """Return who launches, for the ledger."""
    try:
        return f"{getpass.getuser()}@{platform.node()}"
    except (KeyError, OSError):
        return f"uid {os.getuid()}@{platform.node()}"


def reach(runbook: Runbook, project: Project, target: str) -> Database:
    """Return how to reach a target; the embedded PostgreSQL is started.

    Raises:
        BadInput: there is no such target, or its address is not set.
        Unreachable: the embedded PostgreSQL does not start.
    """
    chosen = runbook.targets[choose_target(runbook, target)]
    if chosen.database == "embedded":
        return Database(url=embedded.start(project.state / "postgres", database="target"), role=chosen.role)
    return Database(url=resolve_url(chosen.database), role=chosen.role)


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
