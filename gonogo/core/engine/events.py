"""One fact in the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """Every fact there is."""

    RUN_OPENED = "run opened"
    PHASE_STARTED = "phase started"
    BASELINE = "baseline measured"
    REHEARSAL_FOUND = "rehearsal recalled"
    BACKED_UP = "backup proved"
    ASKED = "people asked"
    VOTE = "vote"
    VOTE_REFUSED = "vote refused"
    CONFIRMED = "confirmed"
    GO = "go"
    NO_GO = "no-go"
    STARTED = "script started"
    DONE = "script done"
    NOT_DONE = "script not done"
    BATCH = "batch done"
    FAILED = "step failed"
    WORK_DONE = "work done"
    VERIFIED = "verified"
    VERIFY_FAILED = "verify failed"
    PHASE_DONE = "phase done"
    RUN_DONE = "run done"
    SAMPLE = "sample"
    TRIPPED = "tripped"
    WOULD_TRIP = "would trip"
    HELD = "held"
    LOSS_COUNTED = "loss weighed"
    UNDO_STARTED = "undo started"
    UNDONE = "undo done"
    UNDO_FAILED = "undo failed"
    SWITCHED = "switch done"
    RESTORED = "backup restored"
    ALL_UNDONE = "all undone"
    PROVED = "rollback proved"
    PHASE_PROVED = "phase rollback proved"
    NOT_PROVED = "rollback not proved"
    OVERRUN = "rollback overrun"
    TAKEN_OVER = "taken over"
    REHEARSED = "rehearsed"
    ACKNOWLEDGED = "acknowledged"
    ALERT = "alert raised"
    CLEARED = "alert cleared"
    HOLD = "hold"
    RESUME = "resume"
    ABORT = "abort"
    ROLL_BACK = "roll back"


#: what people append, from wherever they are
REQUESTS = frozenset({Kind.HOLD, Kind.RESUME, Kind.ABORT, Kind.ROLL_BACK})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact: what happened, when, who said so."""

    seq: int
    kind: Kind
    at: datetime
    #: when the transaction that recorded it began, so that a script's event knows how long it took
    began: datetime
    actor: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)
