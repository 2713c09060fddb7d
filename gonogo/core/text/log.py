"""The run's log: a line for each event that somebody would want to read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from zoneinfo import ZoneInfo

from gonogo.core.engine import events
from gonogo.core.engine.decide import waits_for_votes
from gonogo.core.engine.events import Event
from gonogo.core.engine.evolve import ROLLBACK
from gonogo.core.engine.rehearsal import describe
from gonogo.core.engine.state import State, Status, takes_effect
from gonogo.core.model.duration import say_duration
from gonogo.core.plan.plan import Plan
from gonogo.core.text.backups import describe_backup
from gonogo.core.text.messages import confirm_command, describe_loss_step, describe_rows
from gonogo.core.text.plain import counted, criteria_pass
from gonogo.core.text.scene import Scene, Tellers
from gonogo.core.text.times import clock, moment

#: steps with more scripts or batches than this tell of every tenth part only
_MANY = 10
LINES = Tellers()


def log_line(plan: Plan, before: State, event: Event, after: State) -> str:
    """Return the line for an event, or nothing where it is not worth one."""
    return LINES.tell(plan, before, event, after) if takes_effect(before, event) else ""


def _passed_a_tenth(done: int, total: int) -> bool:
    return total <= _MANY or done == total or (done * 10) // total > ((done - 1) * 10) // total


# the gate


@LINES.of(events.PhaseStarted)
def _phase_started(scene: Scene[events.PhaseStarted]) -> str:
    plan, after = scene.plan, scene.after
    override = f", by override: {scene.body.override}" if scene.body.override else ""
    opens = plan.opens(after.phase)
    early = opens is not None and opens > scene.event.at and not after.gate.at_once
    waits = f"; it waits until {opens.astimezone(ZoneInfo(plan.zone)):%Y-%m-%d %H:%M %Z}" if opens and early else ""
    return f"phase {plan.phases[after.phase].name} starts, launched by {scene.actor}{override}{waits}"


@LINES.of(events.BaselineMeasured)
def _baseline(scene: Scene[events.BaselineMeasured]) -> str:
    checks, objects = len(scene.body.measurements), scene.body.fingerprint.count
    notes = f"the baseline is measured: {counted(checks, 'check')}, {counted(objects, 'schema object')}"
    return notes if checks else ""


@LINES.of(events.RehearsalFound)
def _rehearsal_found(scene: Scene[events.RehearsalFound]) -> str:
    return f"rehearsed {describe(scene.body, scene.event.at)}" if scene.body.counts else ""


@LINES.of(events.BackupProved)
def _backed_up(scene: Scene[events.BackupProved]) -> str:
    return f"backup proved: {describe_backup(scene.body, scene.plan.zone)}"


@LINES.of(events.PeopleAsked)
def _asked(scene: Scene[events.PeopleAsked]) -> str:
    """Say who is asked for what, and what they type."""
    plan, body, after = scene.plan, scene.body, scene.after
    if body.items:
        return f"waits for people to confirm {', '.join(body.items)}: {confirm_command(plan, body.items[0])}"
    again = f"{body.why}; every vote is void. " if body.why else ""
    until = f" by {clock(body.deadline, plan.zone, after.at)}" if body.deadline else ""
    command = f"gonogo go {plan.runbook} {plan.phases[after.phase].name} --target {plan.target} --as PERSON"
    return f"ASKED: {again}{waits_for_votes(plan, after)}{until}: {command}"


@LINES.of(events.VoteCast)
def _vote(scene: Scene[events.VoteCast]) -> str:
    body = scene.body
    what = "approves a rollback" if body.on == ROLLBACK else f"says {body.decision}"
    proved = "proved" if body.proved else "not proved"
    return f"{body.person} ({proved}) {what}" + (f": {body.comment}" if body.comment else "")


@LINES.of(events.VoteRefused)
def _vote_refused(scene: Scene[events.VoteRefused]) -> str:
    return f"not counted: {scene.body.why}"


@LINES.of(events.ItemConfirmed)
def _confirmed(scene: Scene[events.ItemConfirmed]) -> str:
    body = scene.body
    return f"{body.person} confirms {body.item}" + (f": {body.evidence}" if body.evidence else "")


@LINES.of(events.Go)
def _go(scene: Scene[events.Go]) -> str:
    votes = [vote.person for vote in scene.body.votes]
    said = f", and {' and '.join(votes)} said go" if votes else ""
    return f"GO: {criteria_pass(len(scene.body.judged))}{said}"


# the work


@LINES.of(events.ScriptStarted)
def _script_started(scene: Scene[events.ScriptStarted]) -> str:
    step = scene.plan.steps[scene.body.step]
    return f"{step.name}: running " + (step.scripts[0].source if step.row.external else "outside a transaction")


@LINES.of(events.ScriptDone)
def _script_done(scene: Scene[events.ScriptDone]) -> str:
    step, body = scene.plan.steps[scene.body.step], scene.body
    if step.kind == "check":
        return f"{step.name}: every check passes"
    if step.row.external:
        return f"{step.name}: {step.scripts[0].source} done in {say_duration(body.took or 0.0)}"
    if step.backfill is not None:
        return f"{step.name}: {scene.before.work.rows:,} rows done"
    if not step.row.counts_scripts:
        return f"{step.name}: {'confirmed' if step.confirm else 'done'}"
    script = step.scripts[body.script]
    if scene.before.status is Status.ROLLING_BACK:
        return f"{step.name}: {script.source} is found to have happened"
    if not (body.others_waited or body.ended or _passed_a_tenth(body.script + 1, len(step.scripts))):
        return ""
    progress = f" ({body.script + 1} of {len(step.scripts)})" if len(step.scripts) > 1 else ""
    took = say_duration(scene.event.at - scene.event.began)
    how = f"committed in {took}" if script.transactional else "done"
    return f"{step.name}: {script.source} {how}{progress}{_waited(body)}"


def _waited(body: events.Waited) -> str:
    waited = f"; others waited {say_duration(body.others_waited)} for it before" if body.others_waited else ""
    return waited + "".join(f"; ended {name}" for name in body.ended)


@LINES.of(events.ScriptNotDone)
def _script_not_done(_: Scene[events.ScriptNotDone]) -> str:
    return "the script in doubt had not happened"


@LINES.of(events.BatchDone)
def _batch(scene: Scene[events.BatchDone]) -> str:
    step, body, work = scene.plan.steps[scene.body.step], scene.body, scene.after.work
    # batches differ in size: what counts is how many tenths of the rows are done
    tenths = [10 * rows // max(1, work.of) for rows in (scene.before.work.rows, work.rows)]
    if body.batch == 0 or tenths[0] == tenths[1]:
        return ""
    of = f" of about {work.of:,}" if work.of else ""
    left = f", {say_duration(max(work.filled_by - scene.event.at, timedelta(0)))} to go" if work.filled_by else ""
    return f"{step.name}: {work.rows:,}{of} rows, {work.pace:,.0f} rows/s{left}"


@LINES.of(events.ScriptWarned)
def _warned(scene: Scene[events.ScriptWarned]) -> str:
    body = scene.body
    more = [f"and {body.count - len(body.warnings):,} more"] if body.count > len(body.warnings) else []
    what = "the undo of " if body.undo else ""
    return f"{what}{scene.plan.steps[body.step].name}: PostgreSQL warns: {'; '.join([*body.warnings, *more])}"


@LINES.of(events.BackfillPaced)
def _paced(scene: Scene[events.BackfillPaced]) -> str:
    body = scene.body
    vacuumed = "the table was vacuumed; " if body.vacuumed else ""
    return f"{scene.plan.steps[body.step].name}: {'stops: ' if body.stopped else f'{vacuumed}goes on'}{body.why}"


@LINES.of(events.PaceAsked)
def _pace_asked(scene: Scene[events.PaceAsked]) -> str:
    said = scene.body.says or f"{scene.body.rows:,} rows/s at most"
    return f"{scene.actor} says {said}{f': {scene.body.why}' if scene.body.why else ''}"


@LINES.of(events.WorkDone)
def _work_done(_: Scene[events.WorkDone]) -> str:
    return "every step is done; verifying"


@LINES.of(events.Verified)
def _verified(scene: Scene[events.Verified]) -> str:
    soak = scene.plan.phases[scene.after.phase].soak
    return f"verified; watching for {say_duration(soak)}" if soak else "verified"


@LINES.of(events.PhaseDone)
def _phase_done(scene: Scene[events.PhaseDone]) -> str:
    return f"phase {scene.plan.phases[scene.before.phase].name} is done"


@LINES.of(events.RunDone)
def _run_done(_: Scene[events.RunDone]) -> str:
    return "DONE"


# what people ask


@LINES.of(events.HoldAsked, events.AbortAsked, events.RollbackAsked)
def _person_says(scene: Scene[events.Body]) -> str:
    return f"{scene.actor} says {scene.event.kind}: {scene.body.why or 'no reason given'}"


@LINES.of(events.ResumeAsked)
def _resumed(scene: Scene[events.ResumeAsked]) -> str:
    accepts = ", and accepts the data loss" if scene.body.accept_loss else ""
    return f"{scene.actor} resumed the run{accepts}{f': {scene.body.why}' if scene.body.why else ''}"


@LINES.of(events.Acknowledged)
def _acknowledged(scene: Scene[events.Acknowledged]) -> str:
    return f"{scene.actor} acknowledged: {scene.body.comment or 'no comment'}"


@LINES.of(events.LedgerLost)
def _ledger_lost(scene: Scene[events.LedgerLost]) -> str:
    body = scene.body
    steps = [scene.plan.steps[step].name for step, _ in body.beyond if step < len(scene.plan.steps)]
    doubt = f"; {', '.join(steps)} acted beyond the database in what is lost, and is in doubt" if steps else ""
    return f"the ledger went back: {body.why}. The run goes on from event {body.head}, as the database is now{doubt}"


@LINES.of(events.TakenOver)
def _taken_over(scene: Scene[events.TakenOver]) -> str:
    return f"{scene.actor} took over the run (epoch {scene.body.epoch})"


# the rollback


@LINES.of(events.LossCounted)
def _loss_counted(scene: Scene[events.LossCounted]) -> str:
    rows = describe_rows(scene.body.rows)
    if not rows or scene.after.rollback.loss.pending:
        return ""  # why it holds says so
    what = "the rollback" if scene.body.whole else describe_loss_step(scene.plan, scene.body.step, scene.after.rollback.level)
    return f"{what} destroys rows that were written since, as accepted: {rows} ({scene.body.how})"


@LINES.of(events.UndoBatchDone)
def _undo_batch(scene: Scene[events.UndoBatchDone]) -> str:
    # the first one only: its end is told with its step
    name = scene.plan.steps[scene.body.step].name
    return "" if scene.before.rollback.undo_batch else f"undoing {name} in batches, the newest first"


@LINES.of(events.UndoDone)
def _undone(scene: Scene[events.UndoDone]) -> str:
    step = scene.plan.steps[scene.body.step]
    if not step.undo:
        return f"undone {step.name}: by hand"
    script = step.undo[scene.body.script]
    took = f" in {say_duration(scene.event.at - scene.event.began)}" if script.transactional else ""
    return f"undone {step.name}: {script.source}{took}{_lost(scene.body.lost)}"


def _lost(rows: Mapping[str, int]) -> str:
    return f"; lost with it, written by others: {describe_rows(rows)}" if any(rows.values()) else ""


@LINES.of(events.SwitchDone)
def _switched(scene: Scene[events.SwitchDone]) -> str:
    source = scene.plan.switches[scene.body.level][scene.body.script].source
    return f"{scene.body.level}: {source} committed{_lost(scene.body.lost)}"


@LINES.of(events.BackupRestored)
def _restored(scene: Scene[events.BackupRestored]) -> str:
    body = scene.body
    kept = f"; what was there is kept as {body.kept}" if body.kept else ""
    return f"restored the backup taken at {moment(body.taken_at, scene.plan.zone)} ({body.how}){kept}"


@LINES.of(events.AllUndone)
def _all_undone(_: Scene[events.AllUndone]) -> str:
    return "everything is undone; proving it"


#: what goes wrong, and what people must see; everything else is information
_ERRORS = (events.NoGo, events.StepFailed, events.VerifyFailed, events.Tripped, events.UndoFailed, events.RollbackNotProved)
_WARNINGS = (
    events.Held,
    events.HoldAsked,
    events.WouldTrip,
    events.RollbackAsked,
    events.RollbackProved,
    events.RollbackOverran,
    events.LedgerLost,
    events.PeopleAsked,
    events.VoteRefused,
)


def level_of(event: Event) -> int:
    """Return how loud an event's line is, as logging counts: 20 information, 30 a warning, 40 an error."""
    return 40 if isinstance(event.body, _ERRORS) else 30 if isinstance(event.body, _WARNINGS) else 20


#: the events that say why, and the word before it
_WITH_REASON: dict[type[events.Body], str] = {
    events.NoGo: "NO-GO",
    events.StepFailed: "FAILED",
    events.VerifyFailed: "VERIFY FAILED",
    events.Tripped: "TRIPPED",
    events.Held: "HOLDING",
    events.UndoFailed: "ROLLBACK FAILED",
    events.RollbackOverran: "OVERRUN",
    events.RollbackProved: "ROLLED BACK",
    events.PhaseRollbackProved: "PHASE ROLLED BACK",
    events.RollbackNotProved: "ROLLBACK NOT PROVED",
}


@LINES.of(events.WouldTrip)
def _would_trip(scene: Scene[events.WouldTrip]) -> str:
    then = "" if scene.body.then == "tell" else f"; without `would_trip` this would {scene.body.then}"
    return f"WOULD TRIP: {scene.body.why or 'no reason given'}{then}"


@LINES.of(*_WITH_REASON)
def _with_reason(scene: Scene[events.Body]) -> str:
    return f"{_WITH_REASON[type(scene.body)]}: {scene.body.why or 'no reason given'}"
