"""Chains of events that are no run, and are kept like one: a runbook's rehearsals, and the looks of its monitor."""

from __future__ import annotations

from typing import Any

from gonogo.core.engine.events import Event, Rehearsed
from gonogo.core.plan.plan import Plan
from gonogo.ledger import store
from gonogo.postgres.connection import Connection

_REHEARSALS, _MONITOR = "~rehearsals", "~monitor"


def of_rehearsals(runbook: str) -> str:
    """Return the name under which a runbook's rehearsals are recorded."""
    return runbook + _REHEARSALS


def of_monitor(runbook: str) -> str:
    """Return the name under which the looks of a runbook's monitor are recorded."""
    return runbook + _MONITOR


def record_rehearsal(connection: Connection, plan: Plan, shown: Rehearsed, actor: str) -> Event:
    """Record what a rehearsal showed, in a chain of its own."""
    store.create(connection)
    chain = open_chain(connection, of_rehearsals(plan.runbook), plan.target)
    return store.append(connection, chain, shown, actor)


def open_chain(connection: Connection, chain: str, target: str) -> str:
    """Begin a chain of events that is no run, unless it is there; return its name."""
    connection.execute(
        "INSERT INTO gonogo.run (id, runbook, target, opened, seq) VALUES (%s, %s, %s, pg_catalog.now(), 0)"
        " ON CONFLICT DO NOTHING",
        [chain, chain, target],
    )
    return chain


def newest_rehearsal(connection: Connection, runbook: str) -> tuple[Event, dict[str, Any]] | None:
    """Return the newest rehearsal of a runbook on this target: the event, and its body as it lies in the ledger.

    Raises:
        Refused: its record cannot be read.
    """
    if not store.exists(connection):
        return None
    row = connection.execute(store.EVENTS + " ORDER BY seq DESC LIMIT 1", [of_rehearsals(runbook), 0]).fetchone()
    return (store.event_of(row), dict(row[5])) if row else None


def read_looks(connection: Connection, chain: str) -> list[Event]:
    """Return the events of a monitor's chain: of its looks, which never end, only the newest thousand."""
    newest = " AND (kind <> 'sample' OR seq > (SELECT max(seq) FROM gonogo.event WHERE run = %s) - 1000) ORDER BY seq"
    return [store.event_of(row) for row in store.fetch(connection, store.EVENTS + newest, [chain, 0, chain])]
