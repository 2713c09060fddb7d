"""The way back: undo, switch off, restore; each says first what it would destroy, and is proved afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from flows import outside
from flows.judging import SETTLE, dump, judge, not_passing, refuses_forged, say_judged
from gonogo import clock, ledger, loss, manifest
from gonogo import restore as restoring
from gonogo.alone import probe, run_alone
from gonogo.compare import differences, schema_fingerprint
from gonogo.core import budget, engine
from gonogo.core.duration import say_duration
from gonogo.core.event import Kind
from gonogo.core.evolve import first_way, usual_reach
from gonogo.core.message import weighed_in_words
from gonogo.core.plan import Plan, PlannedStep
from gonogo.core.state import SHALLOW, TURNING_BACK, State, Status
from gonogo.database import Connection
from gonogo.errors import Refused, ScriptFailed

if TYPE_CHECKING:
    from flows.loop import Conductor


def turn_back(conductor: Conductor, _: engine.TurnBack) -> None:
    """Roll back as people agreed to, once it is seen that it was they who did."""
    session = conductor.session
    votes = engine.recent_agreement(conductor.plan, conductor.state, clock.now())
    if refuses_forged(conductor, [vote.seq for vote in votes]):
        return
    said = [ledger.read_fact(session.connection, session.run, vote.seq) for vote in votes]
    reasons = "; ".join(f"{fact.body['person']}: {fact.body['comment']}" for fact in said if fact.body.get("comment"))
    body: dict[str, Any] = {"agreed": [vote.person for vote in votes], "votes": [vote.seq for vote in votes]}
    if votes and votes[-1].level:
        body["level"] = votes[-1].level
    if votes and votes[-1].back_to is not None:
        body["back_to"] = votes[-1].back_to
    conductor.append(Kind.ROLL_BACK, {"why": reasons or "as agreed", **body})


def weigh(conductor: Conductor, command: engine.Weigh) -> None:
    """Count what would be destroyed; where rows of the application would be, a person must know of it first."""
    session, plan = conductor.session, conductor.plan
    if command.step >= len(plan.steps) and (others := _later_runs(conductor)):
        why = f"restore: {' and '.join(others)} changed this database after the backup; turn that back first"
        conductor.append(Kind.UNDO_FAILED, {"why": why})
        return
    rows, how = would_destroy(session.connection, session.run, plan, conductor.state, command.step)
    conductor.append(Kind.WEIGHED, {"step": command.step, "rows": rows, "how": how})
    if conductor.state.weighed == command.step:
        return
    what = weighed_in_words(plan, command.step)
    way = f"gonogo rollback {plan.runbook} --target {plan.target} --continue --accept-loss"
    why = (
        f"{what} would destroy rows that were written since: {loss.in_words(rows)} ({how}). Whoever may lose them says so: {way}"
    )
    conductor.append(Kind.HELD, {"why": why})


def _later_runs(conductor: Conductor) -> list[str]:
    """Return the other runs whose work a restore would undo without their knowing."""
    rows = conductor.session.connection.execute(
        "SELECT DISTINCT run FROM gonogo.event WHERE run <> %s AND kind IN ('script done', 'batch done', 'undo done')"
        " AND at > %s::timestamptz ORDER BY 1",
        [conductor.session.run, conductor.state.backup["taken_at"]],
    ).fetchall()
    return [f"the run {row[0]}" for row in rows]


def would_destroy(connection: Connection, run: str, plan: Plan, state: State, step: int) -> tuple[dict[str, int], str]:
    """Return the rows, by table, that the application wrote since and that would be lost; and how that is known.

    Args:
        connection: where.
        run: the run.
        plan: its plan.
        state: where it stands.
        step: the step whose undo is meant; past the last one, a restore of the backup.
    """
    tables, since = _at_stake(connection, run, plan, state, step)
    if step < len(plan.steps) and (journal := plan.steps[step].journal):
        row = connection.execute(journal.encode()).fetchone()
        what = plan.steps[step].destroys[0] if plan.steps[step].destroys else plan.steps[step].name
        return {what: int(row[0] or 0) if row else 0}, loss.JOURNAL
    return (loss.written_since(connection, run, tables, since) if since else {}), loss.ESTIMATE


def _at_stake(connection: Connection, run: str, plan: Plan, state: State, step: int) -> tuple[list[str], str]:
    """Return the tables that a way back destroys, and the snapshot of before."""
    if step >= len(plan.steps):
        return loss.every_table(connection), str(state.backup["snapshot"])
    return loss.expand(connection, plan.steps[step].destroys), loss.since_step(connection, run, step)


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
    to = usual_reach(state) if back_to is None else back_to
    way = level or (state.level if state.status in TURNING_BACK and to == state.back_to else first_way(state, to))
    state = replace(state, status=Status.ROLLING_BACK, back_to=to)
    steps: list[int] = []
    if way == "restore" and state.backup:
        steps = [len(plan.steps)]
    elif way == "undo":
        first = plan.phases[to].first
        steps = [n for n, step in enumerate(plan.steps[: state.step]) if n >= first and engine.weighty(step)]
    for step in steps:
        rows, how = would_destroy(connection, run, plan, state, step)
        if told := loss.in_words(rows):
            yield weighed_in_words(plan, step), f"{told} ({how})"


def undo(conductor: Conductor, command: engine.Undo) -> None:
    """Run one undo script."""
    step, session = conductor.plan.steps[command.step], conductor.session
    script = (step.undo or ())[command.script]
    body: dict[str, Any] = {"step": command.step, "script": command.script, "last": command.last}
    body |= budget.mark(conductor.plan, command.step, script, back=True)
    try:
        if step.undo_outside is not None:
            _undo_outside(conductor, command, body)
        elif script.transactional:
            conductor.absorb(session.run_script(step, script, Kind.UNDONE, body, guard=_guard(conductor, command)))
        elif command.doubtful and (answer := probe(session, script)) is not False:
            _settle_undo(conductor, command, body, answer)
        else:
            for event in run_alone(session, step, script, Kind.UNDO_STARTED, Kind.UNDONE, body):
                conductor.absorb(event)
    except ScriptFailed as failure:
        if failure.sqlstate == loss.GREW:
            # somebody wrote after it was counted: it is counted again, and a person decides
            weigh(conductor, engine.Weigh(command.step))
            return
        if step.undo_outside is not None:
            # it has ended, so it may run again once what it met is mended
            conductor.append(Kind.NOT_DONE, {"step": command.step, "script": command.script})
        conductor.append(Kind.UNDO_FAILED, {"step": command.step, "why": f"undo of {step.name}: {failure}"})


def _undo_outside(conductor: Conductor, command: engine.Undo, body: dict[str, Any]) -> None:
    step = conductor.plan.steps[command.step]
    if command.doubtful and step.again != "safe":
        _settle_undo(conductor, command, body, None)
        return
    for event in outside.act(conductor, step, step.undo_outside, body, back=True):
        conductor.absorb(event)


def _guard(conductor: Conductor, command: engine.Undo) -> str:
    """Return what makes sure, in the undo's own transaction, that it destroys nothing that nobody knew of."""
    step, session = conductor.plan.steps[command.step], conductor.session
    script = (step.undo or ())[command.script]
    if not engine.weighty(step) or conductor.state.accepts_loss or not (script.destroys or step.journal):
        return ""
    since = loss.since_step(session.connection, session.run, command.step)
    tables = loss.expand(session.connection, script.destroys) if since else []
    return loss.guard(session.run, tables, since, step.journal)


def _settle_undo(conductor: Conductor, command: engine.Undo, body: dict[str, Any], answer: bool | None) -> None:
    """Record an undo that the catalog says happened; ask a person about one that it cannot know."""
    step = conductor.plan.steps[command.step]
    if answer:
        conductor.append(Kind.UNDONE, body)
        return
    why = f"the undo of {step.name} is in doubt: it had begun. {SETTLE}"
    conductor.append(Kind.UNDO_FAILED, {"step": command.step, "why": why})


def switch(conductor: Conductor, command: engine.Switch) -> None:
    """Run one script of a level that has its own."""
    plan = conductor.plan
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
        conductor.absorb(conductor.session.run_script(step, script, Kind.SWITCHED, body))
    except ScriptFailed as failure:
        conductor.append(Kind.UNDO_FAILED, {"why": f"{step.name}: {failure}"})


def restore(conductor: Conductor, _: engine.Restore) -> None:
    """Put the backup in the place of what is there."""
    session, known = conductor.session, conductor.state.backup
    runner = restoring.Runner(
        database=session.database,
        connection=session.connection,
        run=session.run,
        epoch=session.epoch,
        actor=session.actor,
        name=session.connection.info.dbname,
        in_place=conductor.in_place,
        since="" if conductor.state.accepts_loss else str(known["snapshot"]),
    )
    conductor.leave_target()
    grown = False
    try:
        made = manifest.read(Path(str(known["folder"])))
        first = conductor.plan.phases[conductor.state.back_to].first
        body = {"folder": known["folder"], "taken_at": known["taken_at"], "step": first}
        restoring.put_back(made, runner, body, session.say)
        why = ""
    except restoring.RowsWritten:
        why, grown = "", True
    except (manifest.BackupFailed, Refused, psycopg.Error) as error:
        why = f"restore: {str(error).strip()}"
        session.say(why)
    session.reconnect()
    # where the connection was lost after all was done, the ledger says that it was
    conductor.catch_up()
    if grown and conductor.state.status is Status.ROLLING_BACK:
        weigh(conductor, engine.Weigh(len(conductor.plan.steps)))
        return
    if why and conductor.state.level == "restore" and conductor.state.status is Status.ROLLING_BACK:
        conductor.append(Kind.UNDO_FAILED, {"why": why})


def prove(conductor: Conductor, _: engine.Prove) -> None:
    """Say *rolled back* only when it is measured, by what the way that was taken leads back to."""
    state, plan = conductor.state, conductor.plan
    if not state.changed:
        conductor.append(Kind.PROVED, {"why": "nothing had been changed"})
    elif state.level in SHALLOW:
        _prove_switch(conductor)
    else:
        restored = state.level == "restore"
        # rows may have changed between the backup and the baseline; those of the backup were compared before the swap
        names = [name for name in plan.proof(state.back_to) if not (restored and plan.checks[name].needs_baseline)]
        _prove_as_before(conductor, names)


def _prove_switch(conductor: Conductor) -> None:
    plan, level = conductor.plan, conductor.state.level
    switch = plan.rollback.feature if level == "feature" else plan.rollback.data
    judged = judge(conductor, switch.prove if switch else ())
    failing = not_passing(judged)
    if failing:
        conductor.append(Kind.NOT_PROVED, {"why": "; ".join(failing), "judged": dump(judged)})
    else:
        why = f"the level {level} is done, and {say_judged(judged)}; what the run did is still there"
        conductor.append(Kind.PROVED, {"why": why, "judged": dump(judged)})


def _prove_as_before(conductor: Conductor, names: Sequence[str]) -> None:
    state = conductor.state
    before = state.start.get("schema", {})
    found = schema_fingerprint(conductor.session.connection)
    differing = differences(before, found)
    judged = judge(conductor, names)
    failing = not_passing(judged)
    body = {"judged": dump(judged), "differences": differing, "objects": len(before)}
    if differing or failing:
        conductor.append(Kind.NOT_PROVED, {"why": "; ".join([*differing, *failing]), **body})
        return
    took = say_duration(clock.now() - state.changed_at) if state.changed_at else ""
    phase = conductor.plan.phases[state.back_to]
    where = f" of phase {phase.name}" if state.back_to else ""
    why = f"{len(before)} schema objects are as they were, {len(judged)} checks pass as at the start{where}"
    kind = Kind.PHASE_PROVED if state.back_to else Kind.PROVED
    conductor.append(kind, {"why": why, "proof_took": took, "step": phase.first, **body})
