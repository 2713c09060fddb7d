"""How a target is reached, and who reaches it."""

from __future__ import annotations

import getpass
import os
import platform
import sys

from gonogo.errors import ConnectionsDisabled
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


def reach(opened: OpenedRunbook) -> Database:
    """Return how to reach the target that is meant; the embedded PostgreSQL is started.

    Raises:
        BadInput: its address is not set.
        Unreachable: the embedded PostgreSQL does not start.
    """
    chosen = opened.chosen
    stated = chosen.direct or chosen.database
    own = stated == "embedded"
    url = embedded.start(opened.project.state / "postgres", database="target") if own else resolve_url(stated)
    return Database(url=url, role=chosen.role, search_path=opened.runbook.sql.search_path)


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
