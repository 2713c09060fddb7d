"""Runs the statements of migrations that others wrote, as their tools do, and tells what PostgreSQL refuses of them, and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from gonogo.core.model.finding import Finding
from gonogo.errors import BadInput
from gonogo.migrations.changes import Migrations, Piece, all_pieces
from gonogo.sql.parse import Statement, split

#: what the server is given for one statement of a plan
LIMIT = "60s"
#: what to do about what that role may not
DENIED = "42501"
TRUST = "migrations are examined by a role without power; read what this does, and if you trust all of them: --superuser"
#: what only begins and ends transactions; gonogo does that itself
_CONTROL = re.compile(
    r"\s*(begin|start\s+transaction|commit|end|rollback)(\s+(work|transaction))?\s*;?\s*|\s*(savepoint|release)(\s+\w+)*\s*;?\s*",
    re.IGNORECASE,
)
_NAMED = re.compile(r'(?:relation|type|column|function|schema|constraint|trigger|index|role|table) "?([\w.]+)')


@dataclass(kw_only=True)
class Examined:
    """What an examination showed."""

    form: str
    changes: int
    findings: list[Finding] = field(default_factory=list)
    #: the changes whose rollback was seen to restore what was there
    restores: list[str] = field(default_factory=list)
    statements: int = 0


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A statement to try, and where it stands."""

    text: str
    file: str
    line: int
    transactional: bool = True


def statements_of(piece: Piece, found: Examined) -> list[Trial]:
    """Return the statements of a piece; what cannot be read is told, and left out."""
    try:
        read = split(piece.text, piece.file)
        return [_trial(s, piece.file, piece.line + s.line - 1) for s in read]
    except BadInput:
        pass
    kept, at = [], 0
    # one that cannot be read must not hide the others
    for text in _rough(piece.text):
        line = piece.line + piece.text[: piece.text.index(text, at)].count("\n")
        at = piece.text.index(text, at) + len(text)
        line += len(text) - len(text.lstrip()) and text[: len(text) - len(text.lstrip())].count("\n")
        if not text.strip() or _CONTROL.fullmatch(_uncommented(text)):
            continue
        try:
            read = split(text, piece.file)
            kept += [_trial(s, piece.file, line + s.line - 1) for s in read]
        except BadInput as error:
            problem = error.problems[0]
            shift = max(0, problem.line - 1 - text[: len(text) - len(text.lstrip())].count("\n"))
            fix = "make the file's SQL a change of its own" if "command of psql" in problem.message else ""
            what = problem.message.splitlines()[0]
            found.findings.append(Finding(kind="refused", file=piece.file, line=line + shift, what=what, fix=fix))
    return kept


def _trial(read: Statement, file: str, line: int) -> Trial:
    return Trial(text=read.text, file=file, line=line, transactional=read.transactional)


def _uncommented(text: str) -> str:
    return re.sub(r"--[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)


def _rough(text: str) -> list[str]:
    """Split at semicolons that end a line, outside of dollar quotes, and at psql's own commands."""
    parts, current, quote = [], "", ""
    for line in text.splitlines(keepends=True):
        for mark in re.findall(r"\$\w*\$", line):
            quote = "" if mark == quote else quote or mark
        if not quote and line.lstrip().startswith("\\"):
            parts += [current, line]
            current = ""
            continue
        current += line
        if not quote and re.search(r";\s*(--[^\n]*)?$", line):
            parts.append(current)
            current = ""
    return [part for part in (*parts, current) if part.strip()]


def as_tools_do(
    connection: psycopg.Connection[Any], statements: Sequence[Trial], migrations: Migrations
) -> tuple[list[Trial], list[Finding]]:
    """Run a change in one transaction, as tools do; where something in it refuses one, statement by statement.

    Returns:
        The statements that were taken, and what is wrong with the others.
    """
    if all(statement.transactional for statement in statements):
        taken: list[Trial] = []
        notes: list[Finding] = []
        connection.execute(b"BEGIN")
        for statement in statements:
            connection.execute(b"SAVEPOINT one")
            if finding := attempt(connection, statement, migrations):
                notes.append(finding)
                connection.execute(b"ROLLBACK TO SAVEPOINT one")
            else:
                taken.append(statement)
        last = statements[-1] if statements else None
        try:
            connection.execute(b"COMMIT")
        except psycopg.Error as error:
            # what was deferred to its end
            what = f"as it commits: {error.sqlstate} {error.diag.message_primary}"
            return [], [*notes, Finding(kind="refused", file=last.file, line=last.line, what=what)] if last else notes
        return taken, notes
    tried = [(statement, attempt(connection, statement, migrations)) for statement in statements]
    return [s for s, finding in tried if finding is None], [finding for _, finding in tried if finding is not None]


def attempt(
    connection: psycopg.Connection[Any], statement: Trial, migrations: Migrations, kind: str = "refused"
) -> Finding | None:
    """Run a statement; return what is wrong with it, if anything is."""
    try:
        connection.execute(statement.text.encode())
    except psycopg.Error as error:
        diag = error.diag
        line = statement.line
        if diag.statement_position:
            line += statement.text[: int(diag.statement_position) - 1].count("\n")
        hint = f" ({diag.message_hint})" if diag.message_hint else ""
        what = f"{error.sqlstate} {diag.message_primary}{hint}"
        return Finding(kind=kind, file=statement.file, line=line, what=what, fix=_fix(error, statement, migrations))
    return None


_FIXES = {
    "42P17": "an expression of an index or a generated column must be IMMUTABLE: name the time zone, or use a column",
    "42P07": "it is there already: leave it out, or see that it is the same",
    "42701": "the column is there already: leave it out, or see that it is the same",
    "42710": "it is there already: leave it out, or see that it is the same",
    "23502": "rows would have NULL there: give a value, or leave the rows out",
    "42702": "say which table the column is of",
    "42P02": "a query with parameters cannot run by itself: write values for them",
    DENIED: TRUST,
    "22P02": "a value is not of its column's type",
    "23514": "rows break the constraint: add it NOT VALID, fix the rows, then VALIDATE",
    "23503": "rows refer to nothing: add the key NOT VALID, fix the rows, then VALIDATE",
}


def _fix(error: psycopg.Error, statement: Trial, migrations: Migrations) -> str:
    """Return what to do about an error, where that is known."""
    state = error.sqlstate or ""
    named = _NAMED.search(str(error.diag.message_primary))
    if state in ("42P01", "42883", "42704", "42703", "3F000") and named:
        name = named.group(1).split(".")[-1]
        if later := _made_at(name, statement, migrations):
            return f"it is made later, at line {later.line} of {Path(later.file).name}: this must come after that"
        return f"nothing that was read makes {name!r}"
    return _FIXES.get(state, "")


def _made_at(name: str, after: Trial, migrations: Migrations) -> Trial | None:
    pattern = re.compile(rf"\b(create|add\s+column|rename\s+to)\b[^;]*?\b{re.escape(name)}\b", re.IGNORECASE)
    for piece in all_pieces(migrations):
        if match := pattern.search(piece.text):
            line = piece.line + piece.text[: match.start()].count("\n")
            if (piece.file, line) > (after.file, after.line):
                return Trial(text="", file=piece.file, line=line)
    return None


__all__ = ["DENIED", "LIMIT", "TRUST", "Examined", "Trial", "as_tools_do", "attempt", "statements_of"]
