"""Locks that stop others from writing, or from reading: on which tables, for how long, and what to do about them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gonogo.sql.locks import WORDS
from gonogo.sql.parse import Statement

#: the modes in which others cannot write
_BLOCKING = ("SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE")
_A_MOMENT = "set a lock_timeout, so that nobody waits in line behind it"


@dataclass(frozen=True, kw_only=True)
class Blocking:
    """A lock that blocks.

    Attributes:
        lock: its mode and its table: `SHARE on orders`.
        statement: which statement takes it, counted from 0.
        why: why it is held for long; empty where that is for a moment.
        fix: what to do about it.
    """

    lock: str
    statement: int
    why: str
    fix: str

    @property
    def said(self) -> str:
        """What it does, for people."""
        return f"takes {self.lock}: {self.why}" if self.why else f"takes {self.lock} for a moment"


def blocking(statements: Sequence[Statement], new: Collection[str] = (), *, together: bool = True) -> list[Blocking]:
    """Return the locks that block others, once for each mode and table: the one that is held longest.

    Args:
        statements: what runs.
        new: tables that nobody else has seen yet.
        together: whether it runs in one transaction, so that each lock is held until all of it has run.
    """
    found: dict[tuple[str, str], Blocking] = {}
    for number, statement in enumerate(statements):
        for mode, table in statement.locks:
            # of what only a server knows nobody can say here that it is there
            if mode in _BLOCKING and table not in new and not table.startswith(WORDS):
                why, fix = _why(statements, number, together=together)
                known = found.get((mode, table))
                if known is None or (why and not known.why):
                    found[mode, table] = Blocking(lock=f"{mode} on {table}", statement=number, why=why, fix=fix)
    return list(found.values())


def _why(statements: Sequence[Statement], number: int, *, together: bool) -> tuple[str, str]:
    """Return why the locks of a statement are held for long, and what to do."""
    if own := statements[number].lasts:
        return own.why, own.fix
    later = next((each for each in statements[number + 1 :] if each.lasts), None) if together else None
    if later is None:
        return "", _A_MOMENT
    words = " ".join(later.text.split()[:3])
    return f"it is held while `{words} ...` runs after it", "put that into a change of its own"
