"""What can stop gonogo, as one tree; outcomes such as *no-go* or *rolled back* are values, not errors.

GonogoError
├── BadInput          exit 2   the runbook, a template, an option: all its problems at once
├── Refused           exit 3   the target cannot be reached, is held, or must not be used
│   ├── Unreachable
│   │   └── ConnectionsDisabled  the database takes no connections: a restore was about to swap names
│   ├── TargetBusy             another runner works on the target
│   ├── Fenced                 another runner took over from this one
│   └── LedgerWentBack         the ledger lacks what this process recorded in it
└── StepError                  what a step met; the loop turns it into an event
    ├── ScriptFailed           the server refused the script
    │   └── RowsWritten        somebody wrote after the data loss was counted
    └── RestoreFailed          the backup was not restored
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum


class Exit(IntEnum):
    """What the command line answers to the shell."""

    DONE = 0
    BAD_INPUT = 2
    REFUSED = 3
    HOLDING = 4
    NO_GO = 10
    ROLLED_BACK = 11
    ROLLBACK_FAILED = 12


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong with an input: what, where, and what to do."""

    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    path: str = ""

    def __str__(self) -> str:
        place = self.file
        if self.line:
            place += f":{self.line}:{self.column}" if self.column else f":{self.line}"
        return " ".join(part for part in (place and f"{place}:", self.path and f"{self.path}:", self.message) if part)


class GonogoError(Exception):
    """gonogo cannot go on."""

    exit = Exit.REFUSED


class BadInput(GonogoError):
    """The input has problems."""

    exit = Exit.BAD_INPUT

    def __init__(self, *problems: Problem | str) -> None:
        self.problems = tuple(p if isinstance(p, Problem) else Problem(message=p) for p in problems)
        super().__init__("\n".join(map(str, self.problems)))


class Refused(GonogoError):
    """The target must not be worked on now."""


class Unreachable(Refused):
    """The target's server does not answer."""


class ConnectionsDisabled(Unreachable):
    """The server lets nobody into the target, as while a restore swaps names."""


class TargetBusy(Refused):
    """Another runner works on the target."""


class Fenced(Refused):
    """Another runner took this run over; this one must not touch the target any more."""


class LedgerWentBack(Refused):
    """The ledger lacks what this process recorded: the server came back without its newest commits, or was restored."""


class StepError(GonogoError):
    """A step failed."""


class ScriptFailed(StepError):
    """The server refused a script.

    Args:
        message: the whole story: place, statement, caret, SQLSTATE, hint, who blocked.
        sqlstate: PostgreSQL's five characters, or "" when the connection was lost.
        left: whether a part of it may have stayed in the database.
        holds: whether people decide what comes next, whatever its phase does where a step fails.
    """

    def __init__(self, message: str, *, sqlstate: str = "", left: bool = False, holds: bool = False) -> None:
        self.sqlstate = sqlstate
        self.left = left
        self.holds = holds
        super().__init__(message)


class RowsWritten(ScriptFailed):
    """An undo or a restore would destroy rows that somebody wrote, and that nobody accepted; nothing of it was done.

    Args:
        message: what was seen.
        sqlstate: PostgreSQL's five characters, where a statement of gonogo's saw it.
        rows: the rows by table, where they were measured.
    """

    def __init__(self, message: str, *, sqlstate: str = "", rows: Mapping[str, int] | None = None) -> None:
        self.rows = rows
        super().__init__(message, sqlstate=sqlstate)


class RestoreFailed(StepError):
    """A backup could not be restored; what was there is still there."""
