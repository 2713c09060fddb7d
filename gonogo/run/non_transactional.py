"""Statements that refuse a transaction: intent before, result after, and proof from the catalog in between.

After a crash or a failure such a statement is in doubt. The catalog answers where it can: an INVALID index is
dropped and built again, never waved through by `IF NOT EXISTS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import psycopg

from gonogo import clock
from gonogo.core.engine.events import Event, Kind
from gonogo.core.plan.plan import PlannedStep, Script
from gonogo.errors import ScriptFailed
from gonogo.postgres.connection import milliseconds
from gonogo.run.session import Session, Stopped, explain, transient

_INDEX = "SELECT indisvalid AND indisready FROM pg_catalog.pg_index WHERE indexrelid = pg_catalog.to_regclass(%s)"
_BUILDER = "SELECT pid FROM pg_catalog.pg_stat_progress_create_index WHERE index_relid = pg_catalog.to_regclass(%s)"
_LEFTOVERS = (
    "SELECT i.indexrelid::pg_catalog.regclass::text FROM pg_catalog.pg_index i"
    " JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid WHERE NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$'"
)
#: running it twice does no harm
_REPEATABLE = frozenset({"reindex", "vacuum", "cluster", "alter system"})


def run_non_transactional(
    session: Session, step: PlannedStep, script: Script, started: Kind, done: Kind, body: Mapping[str, Any]
) -> Iterator[Event]:
    """Run one statement outside a transaction; yield its events as they are recorded.

    Raises:
        ScriptFailed: the server refused it; `left` says whether something of it may have stayed.
        Stopped: the watch cancelled it.
    """
    if script.act == "create index":
        _free_index_name(session, script)
    yield session.append(started, body)
    sql = session.texts[script.sha256]
    attempts = session.plan.sql.attempts
    for number in range(1, attempts + 1):
        blockers: list[str] = []
        try:
            _execute(session, step, sql, blockers, number)
            break
        except psycopg.Error as error:
            again = transient(error)
            if session.lost(error):
                session.reconnect()
                again = True
            if (error.sqlstate or "").startswith("42"):
                # refused before anything began: a name that is taken or missing, a right that lacks
                raise ScriptFailed(explain(error, script, sql, blockers), sqlstate=error.sqlstate or "") from None
            happened = probe(session, script)
            if happened:
                break
            if session.was_stopped(error):
                raise Stopped from None
            if not again or number == attempts or (happened is None and step.again != "safe"):
                story = explain(error, script, sql, blockers)
                raise ScriptFailed(story, sqlstate=error.sqlstate or "", left=happened is None) from None
            session.say(f"{step.name}: {error.sqlstate or type(error).__name__}, trying again ({number} of {attempts})")
            clock.sleep(min(2.0, 0.1 * 2**number))
    if script.act == "create index" and not probe(session, script):
        raise ScriptFailed(f"{script.source}: the index {script.object} is not valid after it was built")
    yield session.append(done, body)


def _free_index_name(session: Session, script: Script) -> None:
    """See that the name of an index is free; what an attempt long ago left INVALID is dropped.

    `IF NOT EXISTS` would wave through an index that is another one, or INVALID, and the undo would drop it.

    Raises:
        ScriptFailed: an index of that name is there, or is being built by somebody else.
    """
    builder = _one(session, _BUILDER, script.object)
    if builder:
        raise ScriptFailed(f"{script.source}: backend {builder} builds the index {script.object} now; wait for it, or end it")
    if _probe_index(session, script.object):
        way = "drop it first, or leave this step out"
        raise ScriptFailed(f"{script.source}: the index {script.object} is there already, and this run did not make it; {way}")


def _execute(session: Session, step: PlannedStep, sql: str, blockers: list[str], number: int) -> None:
    limits = f"SET lock_timeout={milliseconds(step.lock_timeout)};SET statement_timeout={milliseconds(step.statement_timeout)}"
    session.connection.execute(limits.encode())
    try:
        with session.cancellable(), session.naming_blockers(blockers, wanted=number > 1):
            session.connection.execute(sql.encode())
    finally:
        with suppress(psycopg.Error):
            session.connection.execute("RESET lock_timeout;RESET statement_timeout")


def probe(session: Session, script: Script) -> bool | None:
    """Ask the catalog whether a statement happened, and clean up what an interrupted one left.

    Returns:
        True or False, or None when the catalog cannot know.
    """
    if script.act == "create index":
        return _probe_index(session, script.object)
    if script.act == "drop index" and script.object:
        # one that was interrupted left the index INVALID: dropping it again ends the work
        return bool(_one(session, "SELECT pg_catalog.to_regclass(%s) IS NULL", script.object))
    if script.act == "reindex":
        for (name,) in session.connection.execute(_LEFTOVERS).fetchall():
            _drop_index(session, name)
    return False if script.act in _REPEATABLE else None


def _probe_index(session: Session, name: str) -> bool:
    valid = _one(session, _INDEX, name)
    if valid is False:
        session.say(f"the index {name} is INVALID; dropping it")
        _drop_index(session, name)
    return bool(valid)


def _drop_index(session: Session, name: str) -> None:
    session.connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}".encode())


def _one(session: Session, query: str, *parameters: object) -> Any:
    row = session.connection.execute(query.encode(), parameters).fetchone()
    return row[0] if row else None


def happened(session: Session, step: PlannedStep, script: Script) -> bool | None:
    """Say whether a statement in doubt happened: by the catalog, else by the step's own `done_if`, else unknown."""
    answer = probe(session, script)
    if answer is None and step.done_if:
        answer = bool(_one(session, step.done_if))
    if answer is None and step.again == "safe":
        answer = False
    return answer
