"""A gate: the rehearsal that is looked up, the backup that is taken, what is measured, and the people who are asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gonogo import clock
from gonogo.core.engine import commands, events
from gonogo.core.engine.events import FORM, Rehearsed, form_of
from gonogo.core.engine.rehearsal import describe, shortcomings, summary, why_not_ready
from gonogo.core.engine.state import Status
from gonogo.core.engine.verdict import Judgement, Measurement, Verdict
from gonogo.core.model.duration import say_duration
from gonogo.core.model.people import NO_GO
from gonogo.core.model.rollback import BACKUP_PROVED, REHEARSAL_FRESH
from gonogo.core.model.schedule import closed
from gonogo.core.plan.fingerprint import Fingerprint, differences
from gonogo.core.plan.seal import evidence_seal
from gonogo.core.text.backups import describe_backup
from gonogo.core.text.times import clock as say_clock
from gonogo.errors import Refused
from gonogo.recovery.manifest import BackupFailed
from gonogo.run.context import Context
from gonogo.run.judge import forged, judge, not_passing
from gonogo.run.signatures import why_evidence_invalid, without_signature
from gonogo.run.steps import Outcome

#: how often a latency is measured for the baseline, and the seconds in between: a slow moment is shorter than all of it
_ROUNDS, _PAUSE = 5, 0.4


def measure_baseline(context: Context, _: commands.MeasureBaseline) -> Iterator[Outcome]:
    """Measure what is compared with later: before the first change, and what a later phase is rolled back to."""
    plan, state = context.plan, context.state
    # to prove that a later phase was rolled back takes less than to judge what the run comes to
    later = [name for name in plan.proof(state.phase) if plan.checks[name].needs_baseline]
    names = later if state.changed else plan.measured_before
    measured = {name: _quietest(context, name) for name in names}
    yield events.BaselineMeasured(measurements=measured, fingerprint=context.target.fingerprint())


def _quietest(context: Context, name: str) -> Measurement:
    """Measure a check; a latency that others are compared with several times, and keep what the machine disturbed least."""
    check = context.plan.checks[name]
    first = context.measure(name)
    if check.time is None or not check.needs_baseline or first.yardstick is None:
        return first
    rounds = [first]
    for _ in range(_ROUNDS - 1):
        clock.sleep(_PAUSE)
        rounds.append(context.measure(name))
    return min((found for found in rounds if found.yardstick is not None), key=lambda found: found.yardstick or 0.0)


def look_up_rehearsal(context: Context, _: commands.LookUpRehearsal) -> Iterator[Outcome]:
    """Look up the newest rehearsal, and whether it is of just this plan, on just this schema."""
    plan = context.plan
    try:
        found = context.ledger.newest_rehearsal()
    except Refused:
        yield events.RehearsalFound(why="its record is malformed; it was not written by gonogo")
        return
    if found is None:
        yield events.RehearsalFound(why="there is none")
        return
    seq, shown, data = found
    if plan.protected and not context.keys.signed_by_project(without_signature(data), shown.signature):
        yield events.RehearsalFound(why="its record is not signed with this project's key: somebody else wrote it")
        return
    why = _another(context, shown, older=form_of(data) != FORM) or shortcomings(plan, shown)
    yield events.RehearsalFound(why=why) if why else summary(shown, seq)


def _another(context: Context, shown: Rehearsed, *, older: bool) -> str:
    """Say why a rehearsal is one of another plan, or of another schema; or nothing."""
    plan = context.plan
    if shown.plan != plan.seal and older:
        return "it was rehearsed with a gonogo that seals plans in another form; rehearse it again"
    if shown.plan != plan.seal:
        return "what was rehearsed is not what would run: a script, a check, an input or a limit has changed since"
    known = context.state.known.baseline.fingerprint
    as_then = context.state.changed and known.form == shown.fingerprint.form
    now = known if as_then else context.target.fingerprint(shown.fingerprint.form)
    if shown.seal == evidence_seal(plan, now):
        return ""
    notes = differences(shown.fingerprint.objects, now.objects)
    return "the target has changed since: " + ("; ".join(notes[:10]) or "it is another database, or another server's version")


def take_backup(context: Context, _: commands.TakeBackup) -> Iterator[Outcome]:
    """Take a backup and prove it; what cannot be proved is no-go, and nothing was changed."""
    plan = context.plan
    after = context.state.status is Status.SOAKING
    try:
        proved = context.target.take_backup(after=after)
    except (BackupFailed, Refused) as error:
        why = f"backup: {error}"
        yield events.Held(why=why) if after else events.NoGo(why=why)
        return
    limit = plan.backup.recover_within if plan.backup else None
    if limit is not None and proved.restored_in > limit.total_seconds() and not after:
        took, most = say_duration(proved.restored_in), say_duration(limit)
        yield events.NoGo(why=f"backup: restoring it took {took}, and {most} is the most it may take")
        return
    yield proved


def judge_gate(context: Context, _: commands.JudgeGate) -> Iterator[Outcome]:
    """Measure the criteria; where they pass, ask people, and go once enough of them have said so of just this."""
    plan, state = context.plan, context.state
    phase, gate = plan.phases[state.phase], state.gate
    items = [gate.confirmed[item.item] for item in phase.before if item.item in gate.confirmed]
    if refused := list(forged(context, [*(vote.seq for vote in gate.votes), *items])):
        yield from refused
        return
    if against := [vote for vote in gate.votes if vote.decision == NO_GO]:
        said = context.ledger.event(against[0].seq).body
        comment = said.comment if isinstance(said, events.VoteCast) else ""
        yield events.NoGo(why=f"{against[0].person} says no-go: {comment or 'no reason given'}")
        return
    if state.status is Status.DECIDING:
        # the rollback leads to just before the first change, not to where it was when people were asked
        yield from measure_baseline(context, commands.MeasureBaseline())
    judged = (*_own_criteria(context), *judge(context, phase.go_if))
    if why := "; ".join([*_unusable(context), *not_passing(judged, plan.checks)]):
        yield events.NoGo(why=why, judged=judged)
    elif phase.asks_people:
        yield _ask_people(context, judged)
    else:
        yield events.Go(judged=judged)


def _own_criteria(context: Context) -> list[Judgement]:
    """Return the criteria that ledgers answer: the backup, the rehearsal, and the same on other targets."""
    state, notes = context.state, []
    if state.backup is not None:
        notes.append(
            Judgement(check=BACKUP_PROVED, verdict=Verdict.PASS, sentence=describe_backup(state.backup, context.plan.zone))
        )
    if state.known.rehearsed is not None and state.known.rehearsed.counts:
        sentence = describe(state.known.rehearsed, context.now())
        notes.append(Judgement(check=REHEARSAL_FRESH, verdict=Verdict.PASS, sentence=sentence))
    phase = context.plan.phases[state.phase]
    for name in phase.done_on:
        done, says = context.target.done_on(name, phase.name, context.keys)
        notes.append(Judgement(check=f"done on {name}", verdict=Verdict.PASS if done else Verdict.FAIL, sentence=says))
    return notes


def _unusable(context: Context) -> list[str]:
    """Say what stands against a gate beside its criteria: the baseline, the clock, the window, the ledger itself."""
    plan, state, now = context.plan, context.state, context.now()
    notes = [f"the baseline {name}: {m.error or m.missing}" for name, m in context.baseline.items() if m.error or m.missing]
    rehearsed = state.known.rehearsed
    to_compare = rehearsed is not None and rehearsed.counts and not state.changed
    if to_compare and rehearsed and evidence_seal(plan, context.target.fingerprint()) != rehearsed.seal:
        notes.append("rehearsal: the target has changed since it was rehearsed")
    if why := why_not_ready(plan, state, now):
        notes.append(why)
    elif plan.end_by and now > plan.end_by:
        notes.append(f"the window ended at {say_clock(plan.end_by, plan.zone)}")
    if forged := why_evidence_invalid(context.ledger, context.run, plan, context.keys, state, context.answered):
        notes.append(forged)
    notes += _missing_privileges(context)
    if not state.gate.override and (shut := closed(plan.windows, plan.freezes, plan.zone, now)):
        notes.append(f"outside the launch window: {shut}")
    return notes + (context.ledger.problems() if plan.protected else [])


def _missing_privileges(context: Context) -> list[str]:
    """Say which rights the phase needs, forward and back, that the role does not have."""
    plan, phase = context.plan, context.plan.phases[context.state.phase]
    if not plan.sql.ask_rights:
        return []
    steps = plan.steps[phase.first : phase.last + 1]
    needs = [need for step in steps for script in (*step.scripts, *(step.undo or ())) for need in script.needs]
    return [f"privileges: {lack}" for lack in context.target.missing_privileges(needs)]


def _ask_people(context: Context, judged: Sequence[Judgement]) -> events.PeopleAsked | events.Go:
    """Ask people about this plan on this schema; go where they have said so of just this, ask again where it has changed."""
    plan, gate, now = context.plan, context.state.gate, context.now()
    approve = plan.phases[context.state.phase].approve
    asked = gate.asked if context.state.status is Status.DECIDING else None
    before = context.ledger.event(asked.seq).body if asked is not None else None
    known = before.fingerprint if isinstance(before, events.PeopleAsked) else Fingerprint()
    # in the form in which they were asked, or an upgrade of gonogo alone would void what they said
    schema = context.target.fingerprint(known.form)
    shown = evidence_seal(plan, schema)
    if asked is not None and asked.seal == shown:
        votes = tuple(events.GoVote(person=vote.person, proved=vote.proved, event=vote.seq) for vote in gate.votes)
        return events.Go(judged=tuple(judged), votes=votes, seal=shown)
    why, deadline = "", None
    if asked is not None:
        why = "the schema has changed since people were asked: " + "; ".join(differences(known.objects, schema.objects))
    if approve is not None:
        deadline = asked.deadline if asked and asked.deadline else now + approve.within
    return events.PeopleAsked(judged=tuple(judged), seal=shown, fingerprint=schema, why=why, deadline=deadline)
