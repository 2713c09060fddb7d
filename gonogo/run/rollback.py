"""The way back: undo, switch off, restore; each says first what it would destroy, and is proved afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

from gonogo import clock
from gonogo.core.engine import budgets, decide
from gonogo.core.engine.events import Kind
from gonogo.core.engine.evolve import default_level, default_reach
from gonogo.core.engine.state import ROLLING_BACK_STATES, SWITCH_LEVELS, State, Status
from gonogo.core.model.duration import say_duration
from gonogo.core.plan.plan import Plan, PlannedStep
from gonogo.core.text.messages import describe_loss_step
from gonogo.errors import Refused, ScriptFailed
from gonogo.ledger import store
from gonogo.postgres.connection import Connection
from gonogo.postgres.fingerprint import differences, schema_fingerprint
from gonogo.recovery import data_loss, manifest
from gonogo.recovery import restore as restoring
from gonogo.run import external_steps
from gonogo.run.context import Runner
from gonogo.run.judge import SETTLE, dump, judge, not_passing, refuses_forged, say_judged
from gonogo.run.non_transactional import probe, run_non_transactional


def begin_rollback(runner: Runner, _: decide.BeginRollback) -> None:
    """Roll back as people agreed to, once it is seen that it was they who did."""
    session = runner.session
    votes = decide.recent_approvals(runner.plan, runner.state, clock.now())
    if refuses_forged(runner, [vote.seq for vote in votes]):
        return
    said = [store.read_fact(session.connection, session.run, vote.seq) for vote in votes]
    reasons = "; ".join(f"{fact.body['person']}: {fact.body['comment']}" for fact in said if fact.body.get("comment"))
    body: dict[str, Any] = {"agreed": [vote.person for vote in votes], "votes": [vote.seq for vote in votes]}
    if votes and votes[-1].level:
        body["level"] = votes[-1].level
    if votes and votes[-1].back_to is not None:
        body["back_to"] = votes[-1].back_to
    runner.append(Kind.ROLL_BACK, {"why": reasons or "as agreed", **body})


def count_loss(runner: Runner, command: decide.CountLoss) -> None:
    """Count what would be destroyed; where rows of the application would be, a person must know of it first."""
    session, plan = runner.session, runner.plan
    if command.step >= len(plan.steps) and (others := _later_runs(runner)):
        why = f"restore: {' and '.join(others)} changed this database after the backup; turn that back first"
        runner.append(Kind.UNDO_FAILED, {"why": why})
        return
    rows, how = rows_at_risk(session.connection, session.run, plan, runner.state, command.step)
    runner.append(Kind.LOSS_COUNTED, {"step": command.step, "rows": rows, "how": how})
    if runner.state.loss_counted == command.step:
        return
    what = describe_loss_step(plan, command.step)
    way = f"gonogo rollback {plan.runbook} --target {plan.target} --continue --accept-loss"
    lost = f"{data_loss.describe(rows)} ({how})"
    why = f"{what} would destroy rows that were written since: {lost}. To accept this data loss: {way}"
    runner.append(Kind.HELD, {"why": why})


def _later_runs(runner: Runner) -> list[str]:
    """Return the other runs whose work a restore would undo without their knowing."""
    rows = runner.session.connection.execute(
        "SELECT DISTINCT run FROM gonogo.event WHERE run <> %s AND kind IN ('script done', 'batch done', 'undo done')"
        " AND at > %s::timestamptz ORDER BY 1",
        [runner.session.run, runner.state.backup["taken_at"]],
    ).fetchall()
    return [f"the run {row[0]}" for row in rows]


def rows_at_risk(connection: Connection, run: str, plan: Plan, state: State, step: int) -> tuple[dict[str, int], str]:
    """Return the rows, by table, that the application wrote since and that would be lost; and how that is known.

    Args:
        connection: where.
        run: the run.
        plan: its plan.
        state: where it stands.
        step: the step whose undo is meant; past the last one, a restore of the backup.
    """
    tables, since = _tables_at_risk(connection, run, plan, state, step)
    if step < len(plan.steps) and (journal := plan.steps[step].journal):
        row = connection.execute(journal.encode()).fetchone()
        what = plan.steps[step].destroys[0] if plan.steps[step].destroys else plan.steps[step].name
        return {what: int(row[0] or 0) if row else 0}, data_loss.JOURNAL
    return (data_loss.written_since(connection, run, tables, since) if since else {}), data_loss.ESTIMATE


def _tables_at_risk(connection: Connection, run: str, plan: Plan, state: State, step: int) -> tuple[list[str], str]:
    """Return the tables that a way back destroys, and the snapshot of before."""
    if step >= len(plan.steps):
        return data_loss.every_table(connection), str(state.backup["snapshot"])
    return data_loss.expand(connection, plan.steps[step].destroys), data_loss.since_step(connection, run, step)


def losses(
    connection: Connection, run: str, plan: Plan, state: State, level: str, back_to: int | None
) -> Iterator[tuple[str, str]]:
    """Yield what a way back would destroy before it is taken: what does it, and the rows.

    Args:
        connection: where.
        run: the run.
        plan: its plan.
        state: where it stands.
        level: the way back; the one that a trip would take without it.
        back_to: the phase whose start it leads to; as far as a trip would without it.
    """
    to = default_reach(state) if back_to is None else back_to
    way = level or (state.level if state.status in ROLLING_BACK_STATES and to == state.back_to else default_level(state, to))
    state = replace(state, status=Status.ROLLING_BACK, back_to=to)
    steps: list[int] = []
    if way == "restore" and state.backup:
        steps = [len(plan.steps)]
    elif way == "undo":
        first = plan.phases[to].first
        steps = [n for n, step in enumerate(plan.steps[: state.step]) if n >= first and decide.needs_loss_count(step)]
    for step in steps:
        rows, how = rows_at_risk(connection, run, plan, state, step)
        if told := data_loss.describe(rows):
            yield describe_loss_step(plan, step), f"{told} ({how})"


def undo(runner: Runner, command: decide.Undo) -> None:
    """Run one undo script."""
    step, session = runner.plan.steps[command.step], runner.session
    script = (step.undo or ())[command.script]
    body: dict[str, Any] = {"step": command.step, "script": command.script, "last": command.last}
    body |= budgets.mark(runner.plan, command.step, script, back=True)
    try:
        if step.undo_outside is not None:
            _undo_outside(runner, command, body)
        elif script.transactional:
            runner.apply_own(session.run_script(step, script, Kind.UNDONE, body, guard=_guard(runner, command)))
        elif command.doubtful and (answer := probe(session, script)) is not False:
            _settle_undo(runner, command, body, answer)
        else:
            for event in run_non_transactional(session, step, script, Kind.UNDO_STARTED, Kind.UNDONE, body):
                runner.apply_own(event)
    except ScriptFailed as failure:
        if failure.sqlstate == data_loss.GREW:
            # somebody wrote after it was counted: it is counted again, and a person decides
            count_loss(runner, decide.CountLoss(command.step))
            return
        if step.undo_outside is not None:
            # it has ended, so it may run again once what it met is mended
            runner.append(Kind.NOT_DONE, {"step": command.step, "script": command.script})
        runner.append(Kind.UNDO_FAILED, {"step": command.step, "why": f"undo of {step.name}: {failure}"})


def _undo_outside(runner: Runner, command: decide.Undo, body: dict[str, Any]) -> None:
    step = runner.plan.steps[command.step]
    if command.doubtful and step.again != "safe":
        _settle_undo(runner, command, body, None)
        return
    for event in external_steps.act(runner, step, step.undo_outside, body, back=True):
        runner.apply_own(event)


def _guard(runner: Runner, command: decide.Undo) -> str:
    """Return what makes sure, in the undo's own transaction, that it destroys nothing that nobody knew of."""
    step, session = runner.plan.steps[command.step], runner.session
    script = (step.undo or ())[command.script]
    if not decide.needs_loss_count(step) or runner.state.accepts_loss or not (script.destroys or step.journal):
        return ""
    since = data_loss.since_step(session.connection, session.run, command.step)
    tables = data_loss.expand(session.connection, script.destroys) if since else []
    return data_loss.guard(session.run, tables, since, step.journal)


def _settle_undo(runner: Runner, command: decide.Undo, body: dict[str, Any], answer: bool | None) -> None:
    """Record an undo that the catalog says happened; ask a person about one that it cannot know."""
    step = runner.plan.steps[command.step]
    if answer:
        runner.append(Kind.UNDONE, body)
        return
    why = f"the undo of {step.name} is in doubt: it had begun. {SETTLE}"
    runner.append(Kind.UNDO_FAILED, {"step": command.step, "why": why})


def switch(runner: Runner, command: decide.Switch) -> None:
    """Run one script of a level that has its own."""
    plan = runner.plan
    script = plan.switches[command.level][command.script]
    limits = plan.sql
    step = PlannedStep(
        name=f"rollback.{command.level}",
        task="",
        phase=0,
        kind="sql",
        lock_timeout=limits.lock_timeout,
        statement_timeout=limits.statement_timeout,
    )
    body = {"level": command.level, "script": command.script}
    try:
        runner.apply_own(runner.session.run_script(step, script, Kind.SWITCHED, body))
    except ScriptFailed as failure:
        runner.append(Kind.UNDO_FAILED, {"why": f"{step.name}: {failure}"})


def restore(runner: Runner, _: decide.Restore) -> None:
    """Put the backup in the place of what is there."""
    session, known = runner.session, runner.state.backup
    restorer = restoring.Restorer(
        database=session.database,
        connection=session.connection,
        run=session.run,
        epoch=session.epoch,
        actor=session.actor,
        name=session.connection.info.dbname,
        in_place=runner.in_place,
        since="" if runner.state.accepts_loss else str(known["snapshot"]),
    )
    runner.close_checks()
    grown = False
    try:
        made = manifest.read(Path(str(known["folder"])))
        first = runner.plan.phases[runner.state.back_to].first
        body = {"folder": known["folder"], "taken_at": known["taken_at"], "step": first}
        restoring.put_back(made, restorer, body, session.say)
        why = ""
    except restoring.RowsWritten:
        why, grown = "", True
    except (manifest.BackupFailed, Refused, psycopg.Error) as error:
        why = f"restore: {str(error).strip()}"
        session.say(why)
    session.reconnect()
    # where the connection was lost after all was done, the ledger says that it was
    runner.sync()
    if grown and runner.state.status is Status.ROLLING_BACK:
        count_loss(runner, decide.CountLoss(len(runner.plan.steps)))
        return
    if why and runner.state.level == "restore" and runner.state.status is Status.ROLLING_BACK:
        runner.append(Kind.UNDO_FAILED, {"why": why})


def prove(runner: Runner, _: decide.Prove) -> None:
    """Say *rolled back* only when it is measured, by what the way that was taken leads back to."""
    state, plan = runner.state, runner.plan
    if not state.changed:
        runner.append(Kind.PROVED, {"why": "nothing had been changed"})
    elif state.level in SWITCH_LEVELS:
        _prove_switch(runner)
    else:
        restored = state.level == "restore"
        # rows may have changed between the backup and the baseline; those of the backup were compared before the swap
        names = [name for name in plan.proof(state.back_to) if not (restored and plan.checks[name].needs_baseline)]
        _prove_as_before(runner, names)


def _prove_switch(runner: Runner) -> None:
    plan, level = runner.plan, runner.state.level
    switch = plan.rollback.feature if level == "feature" else plan.rollback.data
    judged = judge(runner, switch.prove if switch else ())
    failing = not_passing(judged)
    if failing:
        runner.append(Kind.NOT_PROVED, {"why": "; ".join(failing), "judged": dump(judged)})
    else:
        why = f"the level {level} is done, and {say_judged(judged)}; what the run did is still there"
        runner.append(Kind.PROVED, {"why": why, "judged": dump(judged)})


def _prove_as_before(runner: Runner, names: Sequence[str]) -> None:
    state = runner.state
    before = state.start.get("schema", {})
    found = schema_fingerprint(runner.session.connection)
    differing = differences(before, found)
    judged = judge(runner, names)
    failing = not_passing(judged)
    body = {"judged": dump(judged), "differences": differing, "objects": len(before)}
    if differing or failing:
        runner.append(Kind.NOT_PROVED, {"why": "; ".join([*differing, *failing]), **body})
        return
    took = say_duration(clock.now() - state.changed_at) if state.changed_at else ""
    phase = runner.plan.phases[state.back_to]
    where = f" of phase {phase.name}" if state.back_to else ""
    why = f"{len(before)} schema objects are as they were, {len(judged)} checks pass as at the start{where}"
    kind = Kind.PHASE_PROVED if state.back_to else Kind.PROVED
    runner.append(kind, {"why": why, "proof_took": took, "step": phase.first, **body})
