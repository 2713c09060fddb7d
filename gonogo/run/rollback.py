"""The rollback: undo, switch off, restore; each says first what it would destroy, and is proved afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gonogo.core.engine import commands, events
from gonogo.core.engine.decide import recent_approvals
from gonogo.core.engine.state import SWITCH_LEVELS, Status
from gonogo.core.engine.verdict import Judgement
from gonogo.core.model.duration import say_duration
from gonogo.core.plan.fingerprint import ALWAYS_UNSEEN, Fingerprint, differences
from gonogo.core.plan.plan import PlannedStep
from gonogo.core.text.messages import describe_loss_step, describe_rows
from gonogo.core.text.plain import counted
from gonogo.errors import RestoreFailed, RowsWritten, ScriptFailed
from gonogo.run import steps
from gonogo.run.context import Context
from gonogo.run.judge import describe_judged, forged, judge, not_passing
from gonogo.run.losses import MEASURED, added
from gonogo.run.steps import Outcome


def begin(context: Context, _: commands.BeginRollback) -> Iterator[Outcome]:
    """Roll back as people agreed to, once it is seen that it was they who did."""
    votes = recent_approvals(context.plan, context.state, context.now())
    if refused := list(forged(context, [vote.seq for vote in votes])):
        yield from refused
        return
    said = [body for vote in votes if isinstance(body := context.ledger.event(vote.seq).body, events.VoteCast)]
    reasons = "; ".join(f"{body.person}: {body.comment}" for body in said if body.comment)
    newest = votes[-1] if votes else None
    yield events.RollbackAsked(
        why=reasons or "as agreed",
        level=newest.level if newest else "",
        back_to=newest.back_to if newest else None,
        agreed=tuple(vote.person for vote in votes),
        votes=tuple(vote.seq for vote in votes),
    )


def count_loss(context: Context, command: commands.CountLoss) -> Iterator[Outcome]:
    """Count what would be destroyed; where rows of the application would be, a person must accept that first."""
    backup = context.state.backup
    restores = command.step >= len(context.plan.steps)
    if restores and backup is not None and (others := context.ledger.later_runs(backup.taken_at)):
        named = " and ".join(f"the run {run}" for run in others)
        yield events.UndoFailed(why=f"restore: {named} changed this database after the backup; roll that back first")
        return
    found = context.target.losses(context.state, command.step)
    yield from _tell_loss(context, command.step, found, whole=not restores)


def _tell_loss(context: Context, step: int, found: Sequence[events.StepLoss], *, whole: bool) -> Iterator[Outcome]:
    """Say what would be destroyed; where a person has yet to accept that, hold."""
    plan = context.plan
    rows: dict[str, int] = {}
    for each in found:
        rows = added(rows, each.rows)
    losing = [each for each in found if any(each.rows.values())]
    how = "; ".join(dict.fromkeys(each.how for each in losing or found))
    yield events.LossCounted(step=step, rows=rows, how=how, steps=tuple(found) if whole else (), whole=whole)
    if not context.state.rollback.loss.pending:
        return
    accept = f"gonogo rollback {plan.arguments} --continue --accept-loss"
    what = describe_loss_step(plan, losing[0].step, context.state.rollback.level) if len(losing) == 1 else "the rollback"
    lost = "; ".join(
        f"{describe_rows(each.rows)}{f' by {describe_loss_step(plan, each.step)}' if len(losing) > 1 else ''} ({each.how})"
        for each in losing
    )
    yield events.Held(why=f"{what} would destroy rows that were written since: {lost}. To accept this data loss: {accept}")


def undo(context: Context, command: commands.RunUndo) -> Iterator[Outcome]:
    """Run one undo script."""
    step = context.plan.steps[command.step]
    try:
        yield from steps.of(step.kind).undo(context, command)
    except RowsWritten as found:
        # more than was counted: a person decides
        if found.rows is None:
            yield from count_loss(context, commands.CountLoss(command.step))
        else:
            loss = events.StepLoss(step=command.step, rows=found.rows, how=MEASURED)
            yield from _tell_loss(context, command.step, [loss], whole=False)
    except ScriptFailed as failure:
        if step.undo_external is not None:
            # it has ended, so it may run again once what it met is fixed
            yield events.ScriptNotDone(step=command.step, script=command.script)
        yield events.UndoFailed(step=command.step, why=f"undo of {step.name}: {failure}")


def switch(context: Context, command: commands.RunSwitch) -> Iterator[Outcome]:
    """Run one script of a level that has its own."""
    plan = context.plan
    script = plan.switches[command.level][command.script]
    level = plan.rollback.feature if command.level == "feature" else plan.rollback.data
    step = PlannedStep(
        name=f"rollback.{command.level}",
        task="",
        phase=0,
        kind="sql",
        keeps=level.keeps if level else "",
        lock_timeout=plan.sql.lock_timeout,
        statement_timeout=plan.sql.statement_timeout,
    )
    done = events.SwitchDone(level=command.level, script=command.script)
    try:
        yield context.target.switch(context.state, step, script, done)
    except RowsWritten as found:
        loss = events.StepLoss(step=len(plan.steps), rows=found.rows or {}, how=MEASURED)
        yield from _tell_loss(context, len(plan.steps), [loss], whole=False)
    except ScriptFailed as failure:
        yield events.UndoFailed(why=f"{step.name}: {failure}")


def restore(context: Context, _: commands.RestoreBackup) -> Iterator[Outcome]:
    """Replace what is there with the backup."""
    backup, rollback = context.state.backup, context.state.rollback
    if backup is None:
        yield events.UndoFailed(why="restore: no backup was proved for this run")
        return
    first = context.plan.phases[rollback.back_to].first
    body = events.BackupRestored(folder=backup.folder, taken_at=backup.taken_at, step=first)
    try:
        context.target.restore(backup, body, accepts_loss=rollback.loss.accepted)
    except RowsWritten:
        context.sync()
        if context.state.status is Status.ROLLING_BACK:
            yield from count_loss(context, commands.CountLoss(len(context.plan.steps)))
        return
    except RestoreFailed as failure:
        context.target.say(f"restore: {failure}")
        context.sync()
        if context.state.rollback.level == "restore" and context.state.status is Status.ROLLING_BACK:
            yield events.UndoFailed(why=f"restore: {failure}")
        return
    # its event was recorded with it, in the very same change
    context.sync()


def prove(context: Context, _: commands.ProveRollback) -> Iterator[Outcome]:
    """Say *rolled back* only when it is measured, by what the level that was taken leads back to."""
    state, plan = context.state, context.plan
    if not state.changed:
        yield events.RollbackProved(why="nothing had been changed")
    elif state.rollback.level in SWITCH_LEVELS:
        yield _prove_switch(context)
    else:
        restored = state.rollback.level == "restore"
        # rows may have changed between the backup and the baseline; those of the backup were compared before the swap
        names = [name for name in plan.proof(state.rollback.back_to) if not (restored and plan.checks[name].needs_baseline)]
        yield _prove_as_before(context, judge(context, names))


def _prove_switch(context: Context) -> Outcome:
    plan, level = context.plan, context.state.rollback.level
    rule = plan.rollback.feature if level == "feature" else plan.rollback.data
    judged = judge(context, rule.prove if rule else ())
    if failing := not_passing(judged):
        return events.RollbackNotProved(why="; ".join(failing), judged=judged)
    why = f"the level {level} is done, and {describe_judged(judged)}; what the run did is still there"
    return events.RollbackProved(why=why, judged=judged)


def _prove_as_before(context: Context, judged: Sequence[Judgement]) -> Outcome:
    state = context.state
    before = state.start.fingerprint if state.start else Fingerprint()
    now = context.target.fingerprint(before.form)
    behind = (note for note in now.behind if note not in before.behind)
    differing = (*differences(before.objects, now.objects), *behind)
    failing = not_passing(judged)
    if differing or failing:
        why = "; ".join([*differing, *failing])
        return events.RollbackNotProved(why=why, judged=tuple(judged), differences=differing, objects=before.count)
    took = say_duration(context.now() - state.changed_at) if state.changed_at else ""
    back_to = state.rollback.back_to
    phase = context.plan.phases[back_to]
    where = f" of phase {phase.name}" if back_to else ""
    why = f"{counted(before.count, 'schema object')} as before, {counted(len(judged), 'check')} as at the start{where}"
    shared = tuple(differences(before.shared, now.shared))
    if shared:
        why += f"; on the server, shared with its other databases and so not judged: {'; '.join(shared)}"
    if unread := [name for name in now.unseen if name not in ALWAYS_UNSEEN]:
        why += f"; not compared, as the role may not read it: {', '.join(unread)}"
    proved = events.PhaseRollbackProved if back_to else events.RollbackProved
    return proved(
        why=why,
        proof_took=took,
        step=phase.first,
        judged=tuple(judged),
        objects=before.count,
        shared=shared,
        unseen=now.unseen,
    )
