"""What was read of migrations that others wrote: changes, each with what reverses it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from gonogo.errors import BadInput, Problem

#: how many places are told at once
_FEW = 20
#: what a tool, or a person, puts around all of a file; gonogo commits each script together with its event
_BLANK = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
_WORD = r"(?:\s+(?:WORK|TRANSACTION))?\s*;"
_BEGIN = re.compile(rf"({_BLANK})(?:BEGIN|START\s+TRANSACTION){_WORD}", re.IGNORECASE | re.DOTALL)
_COMMIT = re.compile(rf"\b(?:COMMIT|END){_WORD}({_BLANK})$", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some SQL, and where it stands."""

    text: str
    file: str
    #: its first line, counted from 1
    line: int = 1


@dataclass(kw_only=True)
class Change:
    """Something that is done, and what reverses it."""

    name: str
    title: str = ""
    #: its file, or its folder, from the top of the folder that was read
    path: str = ""
    forward: list[Piece] = field(default_factory=list)
    back: list[Piece] = field(default_factory=list)
    #: whether its author says that there is nothing to reverse
    nothing_to_reverse: bool = False


@dataclass(kw_only=True)
class SharedRollback:
    """What reverses several changes, or stands apart from the one that it reverses."""

    #: the names of the changes
    changes: list[str]
    back: list[Piece] = field(default_factory=list)


@dataclass(kw_only=True)
class Migrations:
    """What was read."""

    #: what it was taken for
    form: str
    #: whether all of it is for one night, and not for many: what one change makes is new to the next one, too
    for_one_night: bool = False
    changes: list[Change] = field(default_factory=list)
    #: the change that must be done before the first of them, where the tool says so
    after: str = ""
    #: queries that change nothing
    queries: list[Piece] = field(default_factory=list)
    #: rollbacks of several changes together
    shared: list[SharedRollback] = field(default_factory=list)
    #: rollbacks that belong to no change
    loose: list[Piece] = field(default_factory=list)
    #: what is in them that only their tool can fill in: file, line, and the words
    placeholders: list[tuple[str, int, str]] = field(default_factory=list)
    #: files that hold no change, and why
    left_out: list[tuple[Path, str]] = field(default_factory=list)
    #: boxes of checklists
    boxes: list[str] = field(default_factory=list)
    #: lines that draw thresholds
    thresholds: list[tuple[int, str]] = field(default_factory=list)


def text_of(file: Path) -> str:
    """Return the text of a file, without the mark that some editors put before it.

    Raises:
        BadInput: it cannot be read, or is not UTF-8.
    """
    try:
        raw = file.read_bytes()
        return raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise BadInput(Problem(file=str(file), line=line, message="is not UTF-8 text; save it as UTF-8")) from None
    except OSError as error:
        raise BadInput(Problem(file=str(file), message=f"cannot be read: {error.strerror}")) from None


def unwrapped(text: str) -> str:
    """Return SQL without the BEGIN and COMMIT around all of it, its lines where they were."""
    begin = _BEGIN.match(text)
    commit = _COMMIT.search(text, begin.end()) if begin else None
    if begin is None or commit is None:
        return text
    blank = re.sub(r"[^\n]", "", text[len(begin[1]) : begin.end()])
    return begin[1] + blank + text[begin.end() : commit.start()].rstrip(" \t") + commit[1]


def ended(text: str) -> str:
    """Return SQL with a semicolon at its end, which no comment may swallow."""
    text = text.rstrip()
    return f"{text}\n" if text.endswith(";") and "--" not in text.splitlines()[-1] else f"{text}\n;\n"


def all_pieces(migrations: Migrations) -> Iterable[Piece]:
    """Return everything that was read, in the order in which it stands."""
    for change in migrations.changes:
        yield from change.forward
        yield from change.back
    for shared in migrations.shared:
        yield from shared.back
    yield from (*migrations.loose, *migrations.queries)


def require_no_placeholder(migrations: Migrations) -> None:
    """Refuse what only its tool can fill in: as it stands it would be wrong, or text in somebody's rows.

    Raises:
        BadInput: there is such a place.
    """
    if migrations.placeholders:
        problems = [
            Problem(file=file, line=line, message=say_placeholder(words)) for file, line, words in migrations.placeholders
        ]
        raise BadInput(*problems[:_FEW])


def say_placeholder(words: str) -> str:
    """Say what is wrong with a place that only its tool can fill in."""
    return f"{words} is filled in by its tool, and what stands there is not known here"
