"""Statements that refuse a transaction: intent before, result after, and proof from the catalog in between.

After a crash or a failure such a statement is in doubt. The catalog answers where it can: an INVALID index is
dropped and built again, never waved through by `IF NOT EXISTS`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg

from gonogo import clock
from gonogo.core.plan.plan import PlannedStep, Script
from gonogo.errors import ScriptFailed
from gonogo.postgres.connection import full_name, milliseconds
from gonogo.postgres.pooled import default_of
from gonogo.run.explain import explain
from gonogo.run.kept_connection import Stopped
from gonogo.run.session import Session, transient
from gonogo.sql.alone import BY_ACT, AloneStatement

_BUILDER = "SELECT pid FROM pg_catalog.pg_stat_progress_create_index WHERE index_relid = pg_catalog.to_regclass(%s)"


def prepare(session: Session, script: Script) -> None:
    """Make sure that the name of an index is free; what an attempt long ago left INVALID is dropped.

    `IF NOT EXISTS` would wave through an index that is another one, or INVALID, and the undo would drop it.

    Raises:
        ScriptFailed: an index of that name is there, or is being built by somebody else.
    """
    if not _row(script).makes_index:
        return
    builder = _one(session, _BUILDER, full_name(session.connection, script.object))
    if builder:
        raise ScriptFailed(f"{script.source}: backend {builder} builds the index {script.object} now; wait for it, or end it")
    if probe(session, script):
        advice = "drop it first, or leave this step out"
        raise ScriptFailed(f"{script.source}: the index {script.object} is there already, and this run did not make it; {advice}")


def run_alone(session: Session, step: PlannedStep, script: Script) -> None:
    """Run one statement outside a transaction.

    Raises:
        ScriptFailed: the server refused it; `left` says whether something of it may have stayed.
        Stopped: the watch cancelled it.
    """
    sql, wait = session.texts[script.sha256], session.wait_of(script)
    while True:
        # once it has begun, its start is recorded: nothing else comes between it and its end
        clock.sleep(wait.due - clock.monotonic())
        try:
            with session.trying(wait):
                _execute(session, step, script, sql)
            break
        except psycopg.Error as error:
            again = transient(error)
            if session.lost(error):
                session.reconnect()
                again = True
            if (error.sqlstate or "").startswith("42"):
                # refused before anything began: a name that is taken or missing, a right that lacks
                raise ScriptFailed(explain(error, script, sql, []), sqlstate=error.sqlstate or "") from None
            happened = probe(session, script)
            if happened:
                break
            if session.was_stopped(error):
                raise Stopped from None
            if not again or wait.over or (happened is None and step.again != "safe"):
                session.forget_wait(script)
                story = explain(error, script, sql, list(wait.in_the_way.values()))
                raise ScriptFailed(story, sqlstate=error.sqlstate or "", left=happened is None) from None
            session.tell_rest(step, wait, wait.rest())
    session.forget_wait(script)
    if _row(script).makes_index and not probe(session, script):
        raise ScriptFailed(f"{script.source}: the index {script.object} is not valid after it was built")


def _row(script: Script) -> AloneStatement:
    """Return what is known of a script's statement."""
    return BY_ACT.get(script.act, _UNKNOWN)


#: a statement of a plan that a newer gonogo made: nothing is known of it
_UNKNOWN = AloneStatement(act="", node="", refuses=lambda _: None, stands_in=lambda text: text)


def _execute(session: Session, step: PlannedStep, script: Script, sql: str) -> None:
    waits, lasts = milliseconds(_waits_for_locks(session, step, script)), milliseconds(step.statement_timeout)
    limits = f"SET lock_timeout={waits};SET statement_timeout={lasts}"
    limits += f";SET search_path TO {default_of(session.connection, 'search_path')}"
    with session.leaving_nothing():
        session.connection.execute(limits.encode())
        session.take_warnings()
        with session.cancellable():
            session.connection.execute(sql.encode())


def _waits_for_locks(session: Session, step: PlannedStep, script: Script) -> timedelta:
    """Return how long a statement may wait for a lock.

    Nobody queues behind most of these, and what they wait for is a transaction that began before them: a try that gives up has
    worked for nothing.
    """
    wait = step.waits_for_locks(script)
    patient = step.lock_timeout is None and not script.queues_others
    return max(wait, session.plan.sql.patience or wait) if patient else wait


def probe(session: Session, script: Script) -> bool | None:
    """Ask the catalog whether a statement happened, and clean up what an interrupted one left.

    Returns:
        True or False, or None when the catalog cannot know.
    """
    row = _row(script)
    if row.leftovers:
        for (name,) in session.connection.execute(row.leftovers.encode()).fetchall():
            _drop_index(session, name)
    if row.probe and script.object:
        name = full_name(session.connection, script.object)
        answer = _one(session, row.probe, name)
        if row.makes_index and answer is False:
            session.say(f"the index {script.object} is INVALID; dropping it")
            _drop_index(session, name)
        return bool(answer)
    return False if row.repeatable else None


def _drop_index(session: Session, name: str) -> None:
    session.connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}".encode())


def _one(session: Session, query: str, *parameters: object) -> Any:
    row = session.connection.execute(query.encode(), parameters).fetchone()
    return row[0] if row else None
