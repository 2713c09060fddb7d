"""Findings that somebody looked at and accepted, in a file beside the migrations, with the reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from gonogo.core.model.finding import FINDING_KINDS, Finding
from gonogo.importers.trial import Examined
from gonogo.planning.load import load_model, read_text

#: what the file is called
NAME = "gonogo-doctor.yaml"


def _day(value: object) -> object:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"{value!r} is no day: write it as 2026-11-30") from None


Day = Annotated[date, BeforeValidator(_day)]


class AcceptedFinding(BaseModel):
    """A finding that somebody accepted.

    Attributes:
        kind: its kind.
        file: the name of its file, without its folder.
        what: a part of what it says, where not all of that kind in that file are meant.
        reason: why it does no harm.
        date: when it was accepted.
        until: the last day on which it counts; for ever without one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    file: str
    what: str = ""
    reason: Annotated[str, Field(min_length=3)]
    date: Day
    until: Day | None = None

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in FINDING_KINDS:
            raise ValueError(f"{kind!r} is no kind of finding; there are {', '.join(FINDING_KINDS)}")
        return kind

    def fits(self, finding: Finding) -> bool:
        """Return whether it speaks of a finding."""
        return finding.kind == self.kind and Path(finding.file).name == self.file and self.what in finding.what


class AcceptedFindings(BaseModel):
    """The file: what was accepted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    accepted: tuple[AcceptedFinding, ...] = ()


def read_accepted(path: Path) -> AcceptedFindings:
    """Return what was accepted of some migrations.

    Args:
        path: what is examined; the file lies in it, or beside it.

    Raises:
        BadInput: the file is not what it should be.
    """
    file = file_of(path)
    if not file.is_file() or not read_text(file).strip():
        return AcceptedFindings()
    return load_model(AcceptedFindings, file)


def file_of(path: Path) -> Path:
    """Return the file of what was accepted of some migrations."""
    return (path if path.is_dir() else path.parent) / NAME


def accept(found: Examined, accepted: AcceptedFindings, file: str, today: date) -> None:
    """Mark what was accepted, and add what is wrong with the entries themselves.

    Args:
        found: what an examination showed.
        accepted: the entries.
        file: their file's path.
        today: the day that entries are held against.
    """
    entries = accepted.accepted
    valid = [entry for entry in entries if entry.until is None or entry.until >= today]
    used: set[int] = set()
    for number, finding in enumerate(found.findings):
        entry = next((entry for entry in valid if entry.fits(finding)), None)
        if entry is not None:
            used.add(id(entry))
            found.findings[number] = replace(finding, accepted=f"{entry.reason} ({entry.date:%Y-%m-%d})")
    for entry in entries:
        what = f"{entry.kind} in {entry.file}" + (f" ({entry.what})" if entry.what else "")
        if entry.until is not None and entry.until < today:
            said = f"{what} was accepted until {entry.until:%Y-%m-%d}: {entry.reason}"
            found.findings.append(Finding(kind="not accepted any more", file=file, line=1, what=said))
        elif id(entry) not in used:
            said = f"{what} is accepted, and nothing of the kind was found"
            found.findings.append(Finding(kind="unused acceptance", file=file, line=1, what=said))
