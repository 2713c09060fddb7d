"""What a rollback would destroy: measured by its runner before it acts, estimated for people who only ask."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import zip_longest

import psycopg

from gonogo import clock
from gonogo.core.engine.decide import counts_loss, first_undo, steps_to_undo
from gonogo.core.engine.events import Event, StepLoss, SwitchDone, UndoDone
from gonogo.core.engine.evolve import default_level, default_reach
from gonogo.core.engine.state import ROLLING_BACK_STATES, State, Status
from gonogo.core.plan.plan import Plan, PlannedStep, Script
from gonogo.core.text.messages import describe_loss_step, describe_rows
from gonogo.errors import RowsWritten
from gonogo.postgres.connection import Connection, as_the_role_sees, transaction
from gonogo.postgres.sqlstates import QUERY_CANCELED, TRANSIENT
from gonogo.recovery import data_loss
from gonogo.recovery.measured_loss import CannotMeasure, ScriptRefused, Touched, TouchedMore, UndoScript, measure
from gonogo.recovery.written_over import noted
from gonogo.run.session import Session, sees
from gonogo.sql.alone import BY_ACT

MEASURED, AS_IT_RUNS = "measured", "measured only as it runs"
#: how often it is tried to measure a rollback beforehand
_TRIES = 5
#: the seconds for which others may have to wait meanwhile
_WAIT = 5.0
#: what a script would do twice where it ran twice: the transaction does not take it back
_OUTSIDE = re.compile(
    r"\b(dblink\w*|lo_import|lo_export|pg_file_\w+|setval|pg_terminate_backend|pg_cancel_backend|pg_logical_\w+|pg_reload_conf"
    r"|pg_(create|drop|copy)_\w*replication_slot|pg_replication_\w+|pg_promote|pg_switch_wal)\s*\("
    r"|\bCOPY\b[^;]*\b(TO|PROGRAM)\s*'",
    re.IGNORECASE,
)
#: a lock that was not to be had, a limit that was reached: then it is not measured beforehand
_NOT_NOW = TRANSIENT | {QUERY_CANCELED}


@dataclass(kw_only=True)
class LossMeter:
    """Counts what the undos of a run destroy, and runs them so that nothing goes that nobody accepted."""

    session: Session
    #: of the scripts that were looked at, by step and script: the tables that each touches
    _touched: dict[tuple[int, int], Touched] = field(default_factory=dict, init=False)
    #: what was counted of the steps that cannot be measured
    _estimates: dict[int, StepLoss] = field(default_factory=dict, init=False)

    def count(self, state: State, step: int) -> tuple[StepLoss, ...]:
        """Return what every undo of a rollback would destroy, from a step on; past the last one, what the restore would.

        All of them run in one transaction, which is taken back.
        """
        session = self.session
        plan, connection = session.plan, session.connection
        if step >= len(plan.steps):
            rows, how = rows_at_risk(connection, session.run, plan, state, step)
            return (StepLoss(step=step, rows=rows, how=how),)
        found: dict[int, StepLoss] = {}
        scripts: dict[tuple[int, int], UndoScript] = {}
        for number in (n for n in steps_to_undo(plan, state) if counts_loss(plan.steps[n])):
            made = self._scripts(state, number)
            why = made if isinstance(made, str) else data_loss.JOURNAL if plan.steps[number].journal else ""
            found[number] = self._estimate(state, number, why) if why else StepLoss(step=number, rows={}, how=MEASURED)
            # what has a journal runs, too: a later script may need that it has run
            scripts |= {} if isinstance(made, str) else made
        self._estimates = {number: loss for number, loss in found.items() if loss.how != MEASURED}
        if scripts:
            with session.leaving_nothing():
                losses, touched, why = self._measure(list(scripts.values()))
            if why:
                session.say(f"part of what the rollback destroys is measured only as each undo runs: {why}")
            self._touched = dict(zip(scripts, touched, strict=False))
            for (number, _), rows in zip_longest(scripts, losses):
                if number in self._estimates:
                    continue
                if rows is None:
                    found[number] = found[number].replace(how=f"{AS_IT_RUNS}: {why}")
                else:
                    unread = f"{MEASURED}, but for what the role may not read" if min(rows.values(), default=0) < 0 else ""
                    found[number] = found[number].replace(rows=added(found[number].rows, rows), how=unread or found[number].how)
        return tuple(found.values())

    def _measure(self, scripts: list[UndoScript]) -> tuple[list[dict[str, int]], list[Touched], str]:
        """Measure as many of some scripts as can be measured beforehand; say why it is not all of them."""
        session, why = self.session, ""
        for attempt in range(_TRIES):
            try:
                with transaction(session.connection, keep=False):
                    # a lock is worth nothing under a snapshot that is older than it
                    session.connection.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
                    return *measure(session.connection, session.run, scripts, within=_WAIT), why
            except ScriptRefused as error:
                # what comes before it can be measured
                why, scripts = str(error), scripts[: error.number]
            except CannotMeasure as error:
                why, scripts = str(error), []
            except psycopg.Error as error:
                if session.lost(error) or (error.sqlstate or "") not in _NOT_NOW:
                    raise
                why = str(error).splitlines()[0]
                if error.sqlstate == QUERY_CANCELED:
                    break
                clock.sleep(min(1.0, 0.05 * 2**attempt))
            if not scripts:
                break
        return [], [], why

    def undo(self, state: State, number: int, index: int, script: Script, done: UndoDone) -> Event:
        """Run one undo script together with its event; nothing of it stays where it destroys what nobody accepted.

        Raises:
            ScriptFailed: the server refused it; nothing of it stayed.
            RowsWritten: it would destroy rows that nobody accepted; nothing of it stayed.
        """
        session = self.session
        step = session.plan.steps[number]
        made = self._scripts(state, number)
        if not isinstance(made, str) and not step.journal:
            try:
                return self._measured(state, step, made[number, index], self._touched.get((number, index)), script, done)
            except CannotMeasure as error:
                session.say(f"what the undo of {step.name} destroys cannot be measured: {error}; it is estimated")
        guard = "" if state.rollback.loss.accepted else self._guard(number, script)
        return session.run_script(step, script, self.with_estimate(number, done), guard=guard)

    def switch(self, state: State, step: PlannedStep, script: Script, done: SwitchDone) -> Event:
        """Run a script of a level that has its own together with its event, as an undo: what was written since the run began.

        Raises:
            ScriptFailed: the server refused it; nothing of it stayed.
            RowsWritten: it would destroy rows that nobody accepted; nothing of it stayed.
        """
        session = self.session
        since = data_loss.since_run(session.connection, session.run)
        text = session.texts[script.sha256]
        if not since or not script.transactional or _OUTSIDE.search(text):
            return session.run_script(step, script, done)
        settings = session.limits(step, script) + sees(step)
        undo = UndoScript(text=text, since=since, keeps=step.keeps, settings=settings, sets=script.sets, locks=script.locks)
        try:
            return self._measured(state, step, undo, None, script, done)
        except CannotMeasure as error:
            session.say(f"what the level {done.level} destroys cannot be measured: {error}")
            return session.run_script(step, script, done)

    def _measured(
        self,
        state: State,
        step: PlannedStep,
        undo: UndoScript,
        known: Touched | None,
        script: Script,
        done: UndoDone | SwitchDone,
    ) -> Event:
        """Run an undo as it is measured; where it touches more than it did beforehand, as when rows came since, look again.

        Raises:
            CannotMeasure: it cannot be measured.
            RowsWritten: it would destroy rows that nobody accepted, or touches another table each time.
        """
        session, allows = self.session, state.rollback.loss.allows
        if known:
            with suppress(TouchedMore):
                return session.run_undo(step, script, done, undo, known, allows)
        try:
            return session.run_undo(step, script, done, undo, None, allows)
        except TouchedMore as error:
            if not allows(error.tables):
                raise RowsWritten(str(error), rows=dict.fromkeys(error.tables, data_loss.UNKNOWN)) from None
            raise

    def with_estimate(self, number: int, done: UndoDone) -> UndoDone:
        """Return the event of an undo, with what its step was estimated to destroy."""
        known = self._estimates.get(number)
        return done.replace(lost=dict(known.rows)) if known and done.last else done

    def _scripts(self, state: State, number: int) -> dict[tuple[int, int], UndoScript] | str:
        """Return the undo scripts of a step that are still to run; or why what they destroy cannot be measured."""
        session, step = self.session, self.session.plan.steps[number]
        since = data_loss.since_step(session.connection, session.run, number)
        if not since:
            return "nothing was noted as the step began"
        made, first = {}, first_undo(session.plan, state, number)
        for index, script in enumerate((step.undo or ())[first:], first):
            text = session.texts[script.sha256]
            if not script.transactional:
                if script.act not in BY_ACT:
                    return f"{script.source} cannot run in a transaction"
                text = BY_ACT[script.act].stands_in(text)
            if _OUTSIDE.search(text):
                return f"{script.source} has effects that no rollback of its transaction undoes"
            settings = session.limits(step, script) + sees(step)
            made[number, index] = UndoScript(
                text=text, since=since, step=number, keeps=step.keeps, settings=settings, sets=script.sets, locks=script.locks
            )
        return made

    def _estimate(self, state: State, number: int, why: str) -> StepLoss:
        session = self.session
        step = session.plan.steps[number]
        if step.keeps and not step.journal:
            return StepLoss(step=number, rows={}, how=data_loss.ESTIMATE)
        rows, how = rows_at_risk(session.connection, session.run, session.plan, state, number)
        return StepLoss(step=number, rows=rows, how=how if step.journal else f"{how}: {why}")

    def _guard(self, number: int, script: Script) -> str:
        """Return SQL that fails, in the undo's own transaction, where rows were written since they were counted."""
        session, step = self.session, self.session.plan.steps[number]
        if step.keeps and not step.journal:
            return ""
        since = data_loss.since_step(session.connection, session.run, number)
        tables = data_loss.expand(session.connection, script.destroys) if since else []
        return data_loss.guard(session.connection, session.run, tables, since, step.journal)


def added(rows: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    """Return the sum of rows by table; a number that cannot be known stays so."""
    return {
        table: data_loss.UNKNOWN if min(rows.get(table, 0), more.get(table, 0)) < 0 else rows.get(table, 0) + more.get(table, 0)
        for table in {**rows, **more}
    }


def rows_at_risk(connection: Connection, run: str, plan: Plan, state: State, step: int) -> tuple[dict[str, int], str]:
    """Return the rows, by table, that the application wrote since and that may be lost, and how that is known: an estimate.

    Args:
        connection: where.
        run: the run.
        plan: its plan.
        state: where it stands.
        step: the step whose undo is meant; past the last one, a restore of the backup.
    """
    if step >= len(plan.steps):
        since = state.backup.snapshot if state.backup else ""
        tables = data_loss.every_table(connection)
    elif journal := plan.steps[step].journal:
        what = plan.steps[step].destroys[0] if plan.steps[step].destroys else plan.steps[step].name
        try:
            with as_the_role_sees(connection):
                row = connection.execute(journal.encode()).fetchone()
        except psycopg.errors.InsufficientPrivilege as error:
            # such as rows that a policy hides: what cannot be counted is a loss that nobody knows
            return {what: data_loss.UNKNOWN}, f"{data_loss.JOURNAL}, which cannot be asked: {str(error).splitlines()[0]}"
        return {what: int(row[0] or 0) if row else 0}, data_loss.JOURNAL
    else:
        since = data_loss.since_step(connection, run, step)
        tables = data_loss.expand(connection, plan.steps[step].destroys)
    found = data_loss.written_since(connection, run, tables, since) if since else {}
    for each in noted(connection, run):
        # what a later step wrote again may be somebody's all the same
        if each.step > step and each.over.name in tables:
            found = added(found, {each.over.name: each.over.rows})
    return found, data_loss.ESTIMATE


def losses(
    connection: Connection, run: str, plan: Plan, state: State, level: str, back_to: int | None
) -> Iterator[tuple[str, str]]:
    """Yield what a rollback may destroy, for people who are asked whether it may begin: what does it, and the rows.

    Args:
        connection: where.
        run: the run.
        plan: its plan.
        state: where it stands.
        level: the level; the one that a trip would take without it.
        back_to: the phase whose start it leads to; as far as a trip would without it.
    """
    to = default_reach(state) if back_to is None else back_to
    same = state.status in ROLLING_BACK_STATES and to == state.rollback.back_to
    taken = level or (state.rollback.level if same else default_level(state, to))
    state = replace(state, status=Status.ROLLING_BACK, rollback=replace(state.rollback, back_to=to))
    steps: list[int] = []
    if taken == "restore" and state.backup:
        steps = [len(plan.steps)]
    elif taken == "undo":
        steps = [n for n in steps_to_undo(plan, state) if _may_destroy(plan.steps[n])]
    for step in steps:
        rows, how = rows_at_risk(connection, run, plan, state, step)
        if notes := describe_rows(rows):
            yield describe_loss_step(plan, step), f"{notes} ({how})"


def _may_destroy(step: PlannedStep) -> bool:
    return bool(step.destroys or step.journal) and not step.keeps
