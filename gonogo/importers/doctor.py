"""What is wrong with migrations that others wrote: run on a scratch database, statement by statement, then forward and back.

Each change is taken forward, back and compared by the very rehearsal that runs use; only what PostgreSQL refused is left
out of it, and told. Nobody has to trust the migrations for that: they run on a server of their own that holds nothing else, as
a role that owns its database and may run no program, read no file and make no superuser.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import psycopg

from gonogo.core.engine.rehearsal import GOOD, verdict
from gonogo.core.model.finding import Finding, Level
from gonogo.core.text.messages import first_line
from gonogo.core.text.plain import counted
from gonogo.errors import BadInput, GonogoError
from gonogo.importers import write
from gonogo.importers.clinic import Clinic, clinic_of
from gonogo.importers.read import ONLY_ROWS, dropped_by, is_gone_with, readable
from gonogo.importers.schema_file import made_by
from gonogo.importers.trial import LIMIT, Examined, Trial, as_tools_do, attempt, statements_of
from gonogo.migrations.changes import Change, Migrations, Piece, SharedRollback, say_placeholder
from gonogo.planning.load import load_runbook
from gonogo.planning.open import OpenedRunbook
from gonogo.planning.planner import prepare
from gonogo.planning.prepared import Prepared
from gonogo.postgres.connection import Connection, Database
from gonogo.postgres.inventory import compare_snapshot, take_snapshot
from gonogo.project import Project
from gonogo.rehearsal.isolation import Undone, only_step, up_and_back
from gonogo.rehearsal.sandbox import RehearsalRun, on_a_copy
from gonogo.sql.blocking import blocking
from gonogo.sql.parse import split

Say = Callable[[str], None]


def examine(
    migrations: Migrations, say: Say, *, done: Sequence[Change] = (), schema: str = "", superuser: bool = False
) -> Examined:
    """Run what was read on a scratch database, and tell all that is wrong with it.

    Args:
        migrations: what was read.
        say: where progress is told.
        done: the changes before these: they are made, and not judged again.
        schema: SQL that makes what is there already.
        superuser: whether they run as a superuser; then they may do everything that this account may.

    Raises:
        BadInput: the schema cannot be made.
    """
    found = Examined(form=migrations.form, changes=len(migrations.changes))
    with clinic_of(superuser=superuser) as clinic:
        try:
            _examine(migrations, clinic, done, schema, found, say)
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


def _examine(migrations: Migrations, clinic: Clinic, done: Sequence[Change], schema: str, found: Examined, say: Say) -> None:
    for file, why in migrations.left_out:
        fix = "see whether it belongs to them, and call it so; or move it away"
        found.findings.append(Finding(kind="left out", file=str(file), line=1, what=why, fix=fix))
    for place, line, words in migrations.placeholders:
        fix = "examine what the tool makes of it, or write what stands there"
        found.findings.append(Finding(kind="refused", file=place, line=line, what=say_placeholder(words), fix=fix))
    with made_by(schema, clinic) as base:
        _make(done, migrations, base, found)
        with clinic.without_new_roles(), clinic.copied(base) as first:
            kept = _forward(migrations, first, found, say)
            _queries(migrations, first, found)
            _loose(migrations, clinic, base, first, found)
        for shared in migrations.shared:
            _together(shared, migrations, kept, clinic, base, found)
        with tempfile.TemporaryDirectory(prefix="gonogo-doctor-") as folder:
            _rollbacks(migrations, kept, Project(root=Path(folder)), clinic, base, found, say)


def _make(done: Sequence[Change], migrations: Migrations, url: str, found: Examined) -> None:
    """Make what was done before; what PostgreSQL does not take of it is told, as all else builds on it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.prepare_threshold = None
        for change in done:
            connection.execute(b"DISCARD ALL")
            connection.execute(f"SET statement_timeout = '{LIMIT}'".encode())
            statements = [s for piece in change.forward for s in statements_of(piece, found)]
            found.findings += as_tools_do(connection, statements, migrations)[1]


def _forward(migrations: Migrations, url: str, found: Examined, say: Say) -> dict[str, list[Piece]]:
    """Run every statement; return those that PostgreSQL took, by change."""
    kept: dict[str, list[Piece]] = {}
    say(f"running {len(migrations.changes)} changes on a copy")
    with psycopg.connect(url, autocommit=True) as connection:
        # what the driver would prepare goes with what a change leaves
        connection.prepare_threshold = None
        for change in migrations.changes:
            # what another one left in its session is not there: this one may run next year
            connection.execute(b"DISCARD ALL")
            connection.execute(f"SET statement_timeout = '{LIMIT}'; SET lock_timeout = '5s'".encode())
            statements = [s for piece in change.forward for s in statements_of(piece, found)]
            found.statements += len(statements)
            taken, notes = as_tools_do(connection, statements, migrations)
            found.findings += notes
            kept[change.name] = [Piece(text=s.text, file=s.file, line=s.line) for s in taken]
    return kept


def _queries(migrations: Migrations, url: str, found: Examined) -> None:
    """Ask every query at the end, when all is there that will be."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"SET default_transaction_read_only = on; SET statement_timeout = '{LIMIT}'".encode())
        for piece in migrations.queries:
            _tried(connection, statements_of(piece, found), migrations, "query refused", found)


def _loose(migrations: Migrations, clinic: Clinic, base: str, after: str, found: Examined) -> None:
    """Try the rollbacks that belong to no change on the result of all, and compare with what there was.

    Several stand side by side in a plan: each is tried by itself. Where none changes definitions, none is meant to lead back.
    """
    tried = [statements_of(piece, found) for piece in migrations.loose]
    failed = False
    for statements in tried:
        with clinic.copied(after) as copy, psycopg.connect(copy, autocommit=True) as connection:
            failed |= not _tried(connection, statements, migrations, "rollback fails", found)
    if not any(each.node not in ONLY_ROWS for piece in migrations.loose for each in readable(piece)):
        return
    with clinic.copied(after) as copy, psycopg.connect(copy, autocommit=True) as connection:
        for statement in chain.from_iterable(tried):
            attempt(connection, statement, migrations, "rollback fails")
        with psycopg.connect(base, autocommit=True) as was:
            differing, _ = compare_snapshot(take_snapshot(was), connection)
        if differing:
            _tell(found, migrations.loose[0], "the rollbacks, all together, do not restore what was there", differing)
        elif not failed:
            found.restores.append("all rollbacks together")


def _tried(connection: Connection, statements: Sequence[Trial], migrations: Migrations, kind: str, found: Examined) -> bool:
    """Try some statements, tell those that fail as findings of a kind, and say whether none did."""
    found.statements += len(statements)
    findings = [finding for each in statements if (finding := attempt(connection, each, migrations, kind))]
    found.findings += findings
    return not findings


def _tell(found: Examined, first: Piece, what: str, differing: Sequence[str]) -> None:
    """Tell what a rollback, whose first piece is given, does not restore."""
    notes = "; ".join(differing[:8]) + (f"; and {len(differing) - 8} more" if len(differing) > 8 else "")
    found.findings.append(Finding(kind="does not restore", file=first.file, line=first.line, what=f"{what}: {notes}"))


def _together(
    shared: SharedRollback, migrations: Migrations, kept: dict[str, list[Piece]], clinic: Clinic, base: str, found: Examined
) -> None:
    """Take the changes that one rollback reverses forward, without those between them, and back, and compare."""
    members = [change for change in migrations.changes if change.name in shared.changes]
    before = migrations.changes[: migrations.changes.index(members[0])]
    with clinic.without_new_roles(), clinic.copied(base) as copy, psycopg.connect(copy, autocommit=True) as connection:
        connection.prepare_threshold = None
        for change in before:
            as_tools_do(connection, [s for piece in kept[change.name] for s in statements_of(piece, found)], migrations)
        start = take_snapshot(connection)
        for change in members:
            as_tools_do(connection, [s for piece in kept[change.name] for s in statements_of(piece, found)], migrations)
        statements = [s for piece in shared.back for s in statements_of(piece, found)]
        succeeded = _tried(connection, statements, migrations, "rollback fails", found)
        differing, _ = compare_snapshot(start, connection)
    names = " and ".join(change.title or change.name for change in members)
    if differing:
        _tell(found, shared.back[0], f"the rollback of {names} does not restore", differing)
    elif succeeded:
        found.restores.append(names)


# forward and back, change by change, by the engine


def _rollbacks(
    migrations: Migrations, kept: dict[str, list[Piece]], project: Project, clinic: Clinic, base: str, found: Examined, say: Say
) -> None:
    """Take each change forward, back and compare, on a copy of its own."""
    migrations = replace(migrations, boxes=[])
    broken = set[str]()
    for change in migrations.changes:
        known = len(found.findings)
        change.back = _readable(change.back, found)
        if change.back and len(found.findings) > known:
            broken.add(change.name)
    if not any(kept.values()):
        return
    _locks(migrations, kept, found)
    prepared = _prepared(migrations, kept, project, found)
    names = write.task_names(migrations)
    planned = {step.task: number for number, step in enumerate(prepared.plan.steps)} if prepared else {}
    elsewhere = _reversed_elsewhere(migrations)
    with clinic.copied(base) as walk:
        for change in migrations.changes:
            if prepared and (task := names[change.name]) in planned:
                if change.name in broken:
                    first = change.back[0]
                    what = f"the rollback of {change.title or change.name} cannot be read as a whole, so its tool does not run it"
                    found.findings.append(Finding(kind="rollback fails", file=first.file, line=first.line, what=what))
                elif change.back:
                    say(f"{change.name}: forward, back, and compared")
                    with clinic.without_new_roles(), clinic.copied(walk) as copy:
                        _judge(change, _there_and_back(prepared, planned[task], copy, project), found)
            reversed_ = change.back or change.name in elsewhere or change.nothing_to_reverse
            if kept[change.name] and not reversed_:
                first = change.forward[0]
                what = f"{change.title or change.name} has no rollback"
                fix = "write one; `undo: nothing` says that there is nothing to reverse"
                found.findings.append(Finding(kind="no rollback", file=first.file, line=first.line, what=what, fix=fix))
            with psycopg.connect(walk, autocommit=True) as connection:
                statements = [s for piece in kept[change.name] for s in statements_of(piece, found)]
                as_tools_do(connection, statements, migrations)


def _reversed_elsewhere(migrations: Migrations) -> set[str]:
    """Return the names of the changes that a rollback reverses which is not theirs alone."""
    found = {name for each in migrations.shared for name in each.changes}
    # all of a plan is taken back together; a change in a folder, by itself
    if migrations.for_one_night:
        backs = [*(each.back for each in migrations.changes), *(each.back for each in migrations.shared)]
        dropped = dropped_by(list(chain.from_iterable(backs)))
        found |= {change.name for change in migrations.changes if is_gone_with(change, dropped)}
    return found


def _there_and_back(prepared: Prepared, number: int, copy: str, project: Project) -> Undone:
    """Take one change forward and back on a copy, by the engine, and say what that came to."""
    run = RehearsalRun(
        plan=prepared.plan,
        texts=dict(prepared.texts),
        database=Database(url=copy),
        project=project,
        actor="doctor",
        say=lambda _: None,
    )
    return up_and_back(run, only_step(on_a_copy(prepared.plan), number), copy)


def _prepared(migrations: Migrations, kept: dict[str, list[Piece]], project: Project, found: Examined) -> Prepared | None:
    """Make a plan of the changes; one that no runbook takes is told, and leaves the others their verdict."""
    try:
        return _plan_of(migrations, kept, project.root / "all")
    except BadInput:
        pass
    good = []
    for number, change in enumerate(migrations.changes):
        try:
            _plan_of(replace(migrations, changes=[change]), kept, project.root / f"{number}")
            good.append(change)
        except BadInput as error:
            first, problem = change.forward[0], error.problems[0]
            what = f"no rehearsal can be made of it: {problem.message.splitlines()[0]}"
            found.findings.append(Finding(kind="not examined", file=first.file, line=first.line, what=what))
    return _plan_of(replace(migrations, changes=good), kept, project.root / "good") if good else None


def _plan_of(migrations: Migrations, kept: dict[str, list[Piece]], root: Path) -> Prepared:
    if not any(kept[change.name] for change in migrations.changes):
        raise BadInput("nothing of it was taken")
    project = Project(root=root)
    book = write.write(root, "imported", migrations, kept)
    return prepare(OpenedRunbook(runbook=load_runbook(book), file=book, project=project))


def _readable(pieces: Sequence[Piece], found: Examined) -> list[Piece]:
    """Return a rollback without what cannot be read, which is told."""
    return [Piece(text=s.text, file=s.file, line=s.line) for piece in pieces for s in statements_of(piece, found)]


def _judge(change: Change, seen: Undone, found: Examined) -> None:
    if seen.verdict in GOOD:
        found.restores.append(change.name)
        return
    first = change.back[0]
    notes = "; ".join(seen.differences[:8])
    what = f"the rollback of {change.title or change.name} {seen.verdict}: {notes}"
    kind = "does not restore" if seen.verdict == verdict(["x"], ()) else "rollback fails"
    found.findings.append(Finding(kind=kind, file=first.file, line=first.line, what=what))


def _locks(migrations: Migrations, kept: dict[str, list[Piece]], found: Examined) -> None:
    """Tell the locks that stop others from writing to tables that were there before."""
    new = set[str]()
    for change in migrations.changes:
        if not migrations.for_one_night:
            new.clear()
        placed = [(piece, statement) for piece in kept[change.name] for statement in split(piece.text, piece.file)]
        statements = [statement for _, statement in placed]
        new.update(statement.makes for statement in statements)
        for each in blocking(statements, new, together=all(statement.transactional for statement in statements)):
            piece, statement = placed[each.statement]
            lower = None if each.why else Level.NOTE
            line = piece.line + statement.line - 1
            finding = Finding(kind="blocks", file=piece.file, line=line, what=each.said, fix=each.fix, lower=lower)
            found.findings.append(finding)


def summary(found: Examined) -> str:
    """Say what an examination came to."""
    kinds = Counter("accepted" if finding.accepted else finding.kind for finding in found.findings)
    notes = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "nothing to say against it"
    return (
        f"{found.form}: {counted(found.changes, 'change')}, {counted(found.statements, 'statement')};"
        f" {notes}; {counted(len(found.restores), 'rollback')} restored what was there"
    )


__all__ = ["Examined", "examine", "summary"]
