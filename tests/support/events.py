"""Events for tests: of a kind, with what a test names and the rest as plain as it may be."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from gonogo.core.engine.commands import Record
from gonogo.core.engine.events import BODIES, Body, Event, Kind
from support.plans import START, plan

#: what the kinds that cannot do without say where a test does not
_PLAIN: Mapping[str, Any] = {
    "step": 0,
    "script": 0,
    "last": True,
    "upto": ["1"],
    "rows": 1,
    "on": "phase-0",
    "decision": "go",
    "item": "backup",
    "level": "undo",
    "folder": "backups/example",
    "taken_at": START,
    "tables": 1,
    "objects": 1,
    "bytes": 1,
    "restored_in": 1.0,
    "alert": "slow",
    "known": 2,
    "head": 1,
    "at": START,
    "seal": "",
    "fingerprint": {},
    "forward": {},
    "tasks": {},
    "steps": (),
    "levels": (),
    "each_step": True,
    "stopped": True,
    "batch": 1,
}


def body(kind: Kind, **named: Any) -> Body:
    """Return the body of an event of a kind; what it needs and nobody names is plain."""
    fields = BODIES[kind].model_fields
    plain = {name: _PLAIN[name] for name, about in fields.items() if about.is_required() and name in _PLAIN}
    if kind is Kind.LOSS_COUNTED:
        plain["rows"] = {}
    if kind is Kind.RUN_OPENED:
        plain["plan"] = plan()
    if kind is Kind.RUN_SIGNED:
        plain["run"] = "example-000000"
    if kind is Kind.REHEARSED:
        plain["plan"] = plain["on"] = "example"
    return BODIES[kind](**{**plain, **named})


def event(
    kind: Kind, after: timedelta = timedelta(0), *, seq: int = 1, at: datetime = START, actor: str = "", **named: Any
) -> Event:
    """Return an event of a kind, a while after the moment that is `at`."""
    return Event(seq=seq, at=at + after, began=at + after, actor=actor, body=body(kind, **named))


def record(kind: Kind, why: str = "", **named: Any) -> Record:
    """Return the command that only records an event of a kind."""
    return Record(BODIES[kind](why=why, **named))
