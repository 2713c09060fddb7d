"""What of a run this project signed: its plan as it began, or all of it later, when a person answered for it."""

from __future__ import annotations

from typing import Any

from gonogo.core.engine.events import Event, RunSigned
from gonogo.ledger import chains, store
from gonogo.postgres.connection import Connection

#: the chain in which people answer for a run
_CHAIN = "~signed"


def plan_of(connection: Connection, run: str) -> tuple[dict[str, str], str]:
    """Return what is to be signed of a run's plan as it stands in the ledger, and the signature that stands beside it."""
    data = store.read_data(connection, run, 1)
    return store.digest_of(run, data.get("plan") or {}), str(data.get("signature", ""))


def later(connection: Connection, run: str) -> list[tuple[RunSigned, dict[str, Any]]]:
    """Return where people answered for a run: each as it is, and as it lies in the ledger."""
    found = store.read(connection, run + _CHAIN)
    return [
        (event.body, store.read_data(connection, run + _CHAIN, event.seq)) for event in found if isinstance(event.body, RunSigned)
    ]


def record(connection: Connection, run: str, target: str, signed: RunSigned, actor: str) -> Event:
    """Record that a person answers for a run, in a chain of its own: it is no part of the run."""
    store.create(connection)
    return store.append(connection, chains.open_chain(connection, run + _CHAIN, target), signed, actor)
