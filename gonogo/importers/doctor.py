"""What is wrong with migrations that others wrote: run on a scratch database, statement by statement, then forward and back.

Each change is taken forward, back and compared by the very rehearsal that runs use; only what PostgreSQL refused is left
out of it, and told. Nobody has to trust the migrations for that: they run on a server of their own that holds nothing else, as
a role that owns its database and may run no program, read no file and make no superuser.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg

from gonogo.core.engine.rehearsal import GOOD, verdict
from gonogo.core.model.duration import say_duration
from gonogo.core.plan.plan import PlannedStep
from gonogo.core.text.messages import first_line
from gonogo.errors import BadInput, GonogoError
from gonogo.importers import write
from gonogo.importers.clinic import Clinic, clinic_of
from gonogo.importers.read import Change, Migrations, Piece, all_pieces
from gonogo.planning.load import load_runbook
from gonogo.planning.open import OpenedRunbook
from gonogo.planning.planner import prepare
from gonogo.postgres.connection import Database
from gonogo.postgres.inventory import compare_snapshot, take_snapshot
from gonogo.project import Project
from gonogo.rehearsal.isolation import Undone, only_step, up_and_back
from gonogo.rehearsal.sandbox import RehearsalRun, on_a_copy
from gonogo.sql.parse import split

Say = Callable[[str], None]
#: what the server is given for one statement of a plan
_LIMIT = "60s"
#: what to do about what that role may not
DENIED = "42501"
_TRUST = "migrations are examined by a role without power; read what this does, and if you trust all of them: --superuser"
_BLOCKING = ("ACCESS EXCLUSIVE on ", "EXCLUSIVE on ", "SHARE ROW EXCLUSIVE on ", "SHARE on ")
_CONTROL = re.compile(r"\s*(begin|start\s+transaction|commit|end|rollback|savepoint|release)\b", re.IGNORECASE)
_NAMED = re.compile(r'(?:relation|type|column|function|schema|constraint|trigger|index|role|table) "?([\w.]+)')


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong, where it stands, and what to do."""

    kind: str
    file: str
    line: int
    what: str
    fix: str = ""


@dataclass(kw_only=True)
class Examined:
    """What an examination showed."""

    form: str
    changes: int
    findings: list[Finding] = field(default_factory=list)
    #: the changes whose way back was seen to restore what was there
    restores: list[str] = field(default_factory=list)
    statements: int = 0


@dataclass(frozen=True, kw_only=True)
class _Statement:
    text: str
    file: str
    line: int


def examine(migrations: Migrations, say: Say, *, schema: str = "", superuser: bool = False) -> Examined:
    """Run what was read on a scratch database, and tell all that is wrong with it.

    Args:
        migrations: what was read.
        say: where progress is told.
        schema: SQL that makes what is there already.
        superuser: whether they run as a superuser; then they may do everything that this account may.

    Raises:
        BadInput: the schema cannot be made.
    """
    found = Examined(form=migrations.form, changes=len(migrations.changes))
    with clinic_of(superuser=superuser) as clinic:
        try:
            _examine(migrations, clinic, schema, found, say)
        except BadInput:
            raise
        except (psycopg.Error, GonogoError) as error:
            # what a migration leaves to its role or its database must not hide what was found
            first = migrations.changes[0].forward[0]
            what = f"the examination ended before its end: {first_line(error) or type(error).__name__}"
            fix = "look for what is left to the role, the database or the server: ALTER ROLE, ALTER DATABASE, SET"
            found.findings.append(Finding(kind="not examined", file=first.file, line=first.line, what=what, fix=fix))
    found.findings.sort(key=lambda finding: (finding.file, finding.line))
    return found


def _examine(migrations: Migrations, clinic: Clinic, schema: str, found: Examined, say: Say) -> None:
    with clinic.copied() as base:
        _make_schema(base, schema)
        with clinic.copied(base) as first:
            kept = _forward(migrations, first, found, say)
            _queries(migrations, first, found)
            _loose(migrations, clinic, base, first, found)
        with tempfile.TemporaryDirectory(prefix="gonogo-doctor-") as folder:
            _ways_back(migrations, kept, Project(root=Path(folder)), clinic, base, found, say)


def _make_schema(base: str, schema: str) -> None:
    with psycopg.connect(base, autocommit=True) as connection:
        try:
            if schema.strip():
                connection.execute(schema.encode())
        except psycopg.Error as error:
            needs = f"; {_TRUST}" if error.sqlstate == DENIED else ""
            raise BadInput(f"--schema: {error.sqlstate} {error.diag.message_primary}{needs}") from None


# forward, statement by statement


def _statements(piece: Piece, found: Examined) -> list[_Statement]:
    """Return the statements of a piece; what cannot be read is told, and left out."""
    try:
        read = split(piece.text, piece.file)
        return [_Statement(text=s.text, file=piece.file, line=piece.line + s.line - 1) for s in read]
    except BadInput:
        pass
    kept, at = [], 0
    # one that cannot be read must not hide the others
    for text in _rough(piece.text):
        line = piece.line + piece.text[: piece.text.index(text, at)].count("\n")
        at = piece.text.index(text, at) + len(text)
        line += len(text) - len(text.lstrip()) and text[: len(text) - len(text.lstrip())].count("\n")
        if not text.strip() or _CONTROL.match(_uncommented(text)):
            continue
        try:
            read = split(text, piece.file)
            kept += [_Statement(text=s.text, file=piece.file, line=line + s.line - 1) for s in read]
        except BadInput as error:
            problem = error.problems[0]
            shift = max(0, problem.line - 1 - text[: len(text) - len(text.lstrip())].count("\n"))
            fix = "make the file's SQL a change of its own" if "command of psql" in problem.message else ""
            what = problem.message.splitlines()[0]
            found.findings.append(Finding(kind="refused", file=piece.file, line=line + shift, what=what, fix=fix))
    return kept


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


def _forward(migrations: Migrations, url: str, found: Examined, say: Say) -> dict[str, list[Piece]]:
    """Run every statement; return those that PostgreSQL took, by change."""
    kept: dict[str, list[Piece]] = {}
    say(f"running {len(migrations.changes)} changes on an empty copy")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"SET statement_timeout = '{_LIMIT}'; SET lock_timeout = '5s'".encode())
        for change in migrations.changes:
            kept[change.name] = []
            for statement in (s for piece in change.forward for s in _statements(piece, found)):
                found.statements += 1
                if (finding := _try(connection, statement, migrations)) is None:
                    kept[change.name].append(Piece(text=statement.text, file=statement.file, line=statement.line))
                else:
                    found.findings.append(finding)
    return kept


def _try(
    connection: psycopg.Connection[Any], statement: _Statement, migrations: Migrations, kind: str = "refused"
) -> Finding | None:
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
    DENIED: _TRUST,
    "22P02": "a value is not of its column's type",
    "23514": "rows break the constraint: add it NOT VALID, fix the rows, then VALIDATE",
    "23503": "rows refer to nothing: add the key NOT VALID, fix the rows, then VALIDATE",
}


def _fix(error: psycopg.Error, statement: _Statement, migrations: Migrations) -> str:
    """Return what to do about an error, where that is known."""
    state = error.sqlstate or ""
    named = _NAMED.search(str(error.diag.message_primary))
    if state in ("42P01", "42883", "42704", "42703", "3F000") and named:
        name = named.group(1).split(".")[-1]
        if later := _made_at(name, statement, migrations):
            return f"it is made later, at line {later.line} of {Path(later.file).name}: this must come after that"
        return f"nothing that was read makes {name!r}"
    return _FIXES.get(state, "")


def _made_at(name: str, after: _Statement, migrations: Migrations) -> _Statement | None:
    pattern = re.compile(rf"\b(create|add\s+column|rename\s+to)\b[^;]*?\b{re.escape(name)}\b", re.IGNORECASE)
    for piece in all_pieces(migrations):
        if match := pattern.search(piece.text):
            line = piece.line + piece.text[: match.start()].count("\n")
            if (piece.file, line) > (after.file, after.line):
                return _Statement(text="", file=piece.file, line=line)
    return None


def _queries(migrations: Migrations, url: str, found: Examined) -> None:
    """Ask every query at the end, when all is there that will be."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"SET default_transaction_read_only = on; SET statement_timeout = '{_LIMIT}'".encode())
        for piece in migrations.queries:
            for statement in _statements(piece, found):
                found.statements += 1
                if finding := _try(connection, statement, migrations, "query refused"):
                    found.findings.append(finding)


def _loose(migrations: Migrations, clinic: Clinic, base: str, after: str, found: Examined) -> None:
    """Try the ways back that belong to no change on the result of all, and compare with what there was."""
    if not migrations.loose:
        return
    with clinic.copied(after) as copy, psycopg.connect(copy, autocommit=True) as connection:
        failed = False
        for statement in (s for piece in migrations.loose for s in _statements(piece, found)):
            found.statements += 1
            if finding := _try(connection, statement, migrations, "way back fails"):
                found.findings.append(finding)
                failed = True
        with psycopg.connect(base, autocommit=True) as was:
            differing, _ = compare_snapshot(take_snapshot(was), connection)
        if differing:
            notes = "; ".join(differing[:8]) + (f"; and {len(differing) - 8} more" if len(differing) > 8 else "")
            first = migrations.loose[0]
            what = f"the ways back, all together, do not restore what was there: {notes}"
            found.findings.append(Finding(kind="does not restore", file=first.file, line=first.line, what=what))
        elif not failed:
            found.restores.append("all ways back together")


# forward and back, change by change, by the engine


def _ways_back(
    migrations: Migrations, kept: dict[str, list[Piece]], project: Project, clinic: Clinic, base: str, found: Examined, say: Say
) -> None:
    """Take each change forward, back and compare, on a copy of its own."""
    migrations = replace(migrations, boxes=[])
    for change in migrations.changes:
        change.back = _readable(change.back, found)
    if not any(kept.values()):
        return
    book = write.write(project.root, "imported", migrations, kept)
    prepared = prepare(OpenedRunbook(runbook=load_runbook(book), file=book, project=project))
    by_task = {write.identifier(change.name): change for change in migrations.changes}
    with clinic.copied(base) as walk:
        for number, step in enumerate(prepared.plan.steps):
            change = by_task[step.task]
            _locks(step, change, found)
            if step.undo:
                say(f"{change.name}: forward, back, and compared")
                with clinic.copied(walk) as copy:
                    run = RehearsalRun(
                        plan=prepared.plan,
                        texts=dict(prepared.texts),
                        database=Database(url=copy),
                        project=project,
                        actor="doctor",
                        say=lambda _: None,
                    )
                    _judge(change, up_and_back(run, only_step(on_a_copy(prepared.plan), number), copy), found)
            else:
                first = change.forward[0]
                what = f"{change.title or change.name} has no way back"
                fix = "write one; `undo: nothing` says that there is nothing to reverse"
                found.findings.append(Finding(kind="no way back", file=first.file, line=first.line, what=what, fix=fix))
            with psycopg.connect(walk, autocommit=True) as connection:
                for piece in kept[change.name]:
                    connection.execute(piece.text.encode())


def _readable(pieces: Sequence[Piece], found: Examined) -> list[Piece]:
    """Return a way back without what cannot be read, which is told."""
    return [Piece(text=s.text, file=s.file, line=s.line) for piece in pieces for s in _statements(piece, found)]


def _judge(change: Change, seen: Undone, found: Examined) -> None:
    if seen.verdict in GOOD:
        found.restores.append(change.name)
        return
    first = change.back[0]
    notes = "; ".join(seen.differences[:8])
    what = f"the way back of {change.title or change.name} {seen.verdict}: {notes}"
    kind = "does not restore" if seen.verdict == verdict(["x"], ()) else "way back fails"
    found.findings.append(Finding(kind=kind, file=first.file, line=first.line, what=what))


def _locks(step: PlannedStep, change: Change, found: Examined) -> None:
    """Tell the locks that stop others from writing to tables that were there before."""
    notes: dict[str, None] = {}
    for script in step.scripts:
        notes |= {lock: None for lock in script.locks if lock.startswith(_BLOCKING)}
    for lock in notes:
        table = lock.rsplit(" ", 1)[-1].split(".")[-1].strip('"')
        place = next((piece for piece in change.forward if table in piece.text), change.forward[0])
        line = place.line + place.text[: max(0, place.text.find(table))].count("\n")
        fix = (
            "CREATE INDEX CONCURRENTLY lets others write"
            if lock.startswith("SHARE on")
            else "set a lock_timeout, and keep it short"
        )
        found.findings.append(Finding(kind="blocks", file=place.file, line=line, what=f"takes {lock}", fix=fix))


def summary(found: Examined, took: float) -> str:
    """Say what an examination came to."""
    kinds: dict[str, int] = {}
    for finding in found.findings:
        kinds[finding.kind] = kinds.get(finding.kind, 0) + 1
    notes = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "nothing to say against it"
    return (
        f"{found.form}: {found.changes} changes, {found.statements} statements in {say_duration(took)}; {notes};"
        f" {len(found.restores)} ways back restore what was there"
    )


__all__ = ["Examined", "Finding", "examine", "summary"]
