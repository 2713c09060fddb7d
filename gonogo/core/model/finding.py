"""Something that is wrong with a file that was looked at: where it stands, how bad it is, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is, worst first."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, kw_only=True)
class FindingKind:
    """What is true of all findings of a kind."""

    level: Level
    #: what it means, for people
    means: str


#: what `gonogo doctor` and `gonogo plan` find
FINDING_KINDS: Mapping[str, FindingKind] = {
    "refused": FindingKind(
        level=Level.ERROR,
        means="PostgreSQL does not take a statement: its SQLSTATE and words, and what to do where that is known",
    ),
    "query refused": FindingKind(
        level=Level.ERROR, means="the same of a query that is only to look, asked when all else is there"
    ),
    "does not restore": FindingKind(
        level=Level.ERROR,
        means="the rollback runs, and what there was is not there again: the objects and rows that differ",
    ),
    "rollback fails": FindingKind(level=Level.ERROR, means="what reverses the change is refused"),
    "not examined": FindingKind(
        level=Level.ERROR,
        means="no rehearsal could be made of a change, or the examination ended early; what was found of the others is told",
    ),
    "no rollback": FindingKind(level=Level.WARNING, means="nothing reverses the change"),
    "blocks": FindingKind(
        level=Level.WARNING,
        means="a lock that stops others from writing to a table that was there before; a note where it is held for a moment",
    ),
    "left out": FindingKind(
        level=Level.WARNING,
        means="a file that is not called as the tool calls its migrations, or that only runs around them",
    ),
    "destroys": FindingKind(
        level=Level.WARNING, means="rolling back drops a table, or deletes rows, that somebody may have written since"
    ),
    "advice": FindingKind(level=Level.WARNING, means="a rule of the runbook that is likely not meant as it is written"),
    "not accepted any more": FindingKind(
        level=Level.WARNING, means="an accepted finding whose day has passed: look at it again, and give it a new day"
    ),
    "unused acceptance": FindingKind(
        level=Level.NOTE, means="an entry of the file of accepted findings that fits none; it can go"
    ),
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong, where it stands, and what to do.

    Attributes:
        kind: a key of `FINDING_KINDS`.
        file: the path of the file, as it was given.
        line: the line in it, counted from 1.
        what: what is wrong.
        fix: what to do, where that is known.
        lower: a level below that of its kind, where this one is less bad.
        accepted: why somebody accepted it; empty where nobody did.
    """

    kind: str
    file: str
    line: int
    what: str
    fix: str = ""
    lower: Level | None = None
    accepted: str = ""

    @property
    def level(self) -> Level:
        """How bad it is."""
        return self.lower or FINDING_KINDS[self.kind].level


def worst(findings: Iterable[Finding]) -> Level | None:
    """Return the level of the worst finding that nobody accepted."""
    return min((finding.level for finding in findings if not finding.accepted), key=list(Level).index, default=None)
