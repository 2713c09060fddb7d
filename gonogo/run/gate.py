"""A gate: the rehearsal that is recalled, the backup that is taken, what is measured, and the people who are asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gonogo import clock
from gonogo.core.engine import decide
from gonogo.core.engine.events import Kind
from gonogo.core.engine.rehearsal import describe, shortcomings, summary, why_not_ready
from gonogo.core.engine.state import Status
from gonogo.core.engine.verdict import Judgement, Measurement, Verdict
from gonogo.core.model.duration import say_duration
from gonogo.core.model.people import NO_GO
from gonogo.core.model.rollback import BACKUP_PROVED, REHEARSAL_FRESH
from gonogo.core.model.schedule import closed
from gonogo.core.plan.seal import evidence_seal
from gonogo.core.text.messages import backup_in_words
from gonogo.core.text.messages import clock as say_clock
from gonogo.errors import Refused
from gonogo.ledger import store
from gonogo.postgres.fingerprint import differences, schema_fingerprint
from gonogo.recovery import dump as backup
from gonogo.recovery.manifest import BackupFailed
from gonogo.run.context import Runner
from gonogo.run.judge import dump, judge, not_passing, refuses_forged
from gonogo.sql import privileges

#: how often a latency is measured for the baseline, and the seconds in between: a slow moment is shorter than all of it
_ROUNDS, _PAUSE = 5, 0.4


def measure_baseline(runner: Runner, _: decide.MeasureBaseline) -> None:
    """Measure what is compared with later: before the first change, and what a later phase is turned back to."""
    plan, state = runner.plan, runner.state
    # to prove that a later phase was turned back takes less than to judge what the run comes to
    later = [name for name in plan.proof(state.phase) if plan.checks[name].needs_baseline]
    names = later if state.changed else plan.measured_before
    measured = {name: _quietest(runner, name).model_dump(mode="json") for name in names}
    schema = schema_fingerprint(runner.session.connection)
    runner.append(Kind.BASELINE, {"measurements": measured, "schema": schema})


def _quietest(runner: Runner, name: str) -> Measurement:
    """Measure a check; a latency that others are compared with several times, and keep what the machine disturbed least."""
    check = runner.plan.checks[name]
    first = runner.ask(name)
    if check.time is None or not check.needs_baseline or first.yardstick is None:
        return first
    rounds = [first]
    for _ in range(_ROUNDS - 1):
        clock.sleep(_PAUSE)
        rounds.append(runner.ask(name))
    return min((found for found in rounds if found.yardstick is not None), key=lambda found: found.yardstick or 0.0)


def look_up_rehearsal(runner: Runner, _: decide.LookUpRehearsal) -> None:
    """Look up the newest rehearsal, and whether it is of just this plan, on just this schema."""
    plan, connection = runner.plan, runner.session.connection
    found = store.newest_rehearsal(connection, plan.runbook)
    if found is None:
        runner.append(Kind.REHEARSAL_FOUND, {"why": "there is none"})
        return
    evidence = dict(found.body)
    signature = str(evidence.pop("signature", ""))
    if plan.protected and not runner.keys.signed_by_project(evidence, signature):
        runner.append(Kind.REHEARSAL_FOUND, {"why": "its record is not signed with this project's key: somebody else wrote it"})
        return
    evidence["fact"] = found.seq
    if not {"plan", "seal", "schema", "forward", "levels", "steps", "tasks", "each_step", "at", "on"} <= evidence.keys():
        runner.append(Kind.REHEARSAL_FOUND, {"why": "its record cannot be read: somebody else wrote it"})
        return
    schema = runner.state.baseline.get("schema") if runner.state.changed else None
    now = schema or schema_fingerprint(connection)
    why = ""
    if evidence["plan"] != plan.seal:
        why = "what was rehearsed is not what would run: a script, a check, an input or a limit has changed since"
    elif evidence["seal"] != evidence_seal(plan, now):
        told = differences(evidence["schema"], now)
        why = "the target has changed since: " + ("; ".join(told[:10]) or "it is another database, or another server's version")
    runner.append(Kind.REHEARSAL_FOUND, {"why": why} if (why := why or shortcomings(plan, evidence)) else summary(evidence))


def take_backup(runner: Runner, _: decide.TakeBackup) -> None:
    """Take a backup and prove it; what cannot be proved is no-go, and nothing was changed."""
    plan, session = runner.plan, runner.session
    after = runner.state.status is Status.SOAKING
    folder = runner.room / "backups" / f"{session.run}-{'after' if after else 'before'}-{backup.stamp()}"
    try:
        made = backup.take(session.database, folder, session.say, plan.backup)
        proved = backup.prove(made, runner.scratch_server(), session.say)
    except (BackupFailed, Refused) as error:
        runner.append(Kind.HELD if after else Kind.NO_GO, {"why": f"backup: {error}"})
        return
    limit = plan.backup.recover_within if plan.backup else None
    if limit is not None and proved["restored_in"] > limit.total_seconds() and not after:
        took, most = say_duration(proved["restored_in"]), say_duration(limit)
        runner.append(Kind.NO_GO, {"why": f"backup: restoring it took {took}, and {most} is the most it may take"})
        return
    runner.append(Kind.BACKED_UP, {**proved, "snapshot": made.manifest["snapshot"]})


def judge_gate(runner: Runner, _: decide.JudgeGate) -> None:
    """Measure the criteria; where they pass, ask people, and go once enough of them have said so of just this."""
    plan, state = runner.plan, runner.state
    phase = plan.phases[state.phase]
    boxes = [state.confirmed[item.item] for item in phase.before if item.item in state.confirmed]
    if refuses_forged(runner, [*(vote.seq for vote in state.votes), *boxes]):
        return
    if against := [vote for vote in state.votes if vote.decision == NO_GO]:
        comment = store.read_fact(runner.session.connection, runner.session.run, against[0].seq).body.get("comment")
        runner.append(Kind.NO_GO, {"why": f"{against[0].person} says no-go: {comment or 'no reason given'}"})
        return
    if state.status is Status.DECIDING:
        # the way back leads to just before the first change, not to where it was when people were asked
        measure_baseline(runner, decide.MeasureBaseline())
    judged = [*_ways_back(runner), *judge(runner, phase.go_if)]
    if why := "; ".join([*_unusable(runner), *not_passing(judged)]):
        runner.append(Kind.NO_GO, {"why": why, "judged": dump(judged)})
    elif phase.asks_people:
        _ask_people(runner, judged)
    else:
        runner.append(Kind.GO, {"judged": dump(judged)})


def _ways_back(runner: Runner) -> list[Judgement]:
    """Return the criteria that the run's own facts answer: the backup, and the rehearsal."""
    state, told = runner.state, []
    if state.backup:
        told.append(Judgement(check=BACKUP_PROVED, verdict=Verdict.PASS, sentence=backup_in_words(state.backup)))
    if state.rehearsed:
        sentence = describe(state.rehearsed, clock.now())
        told.append(Judgement(check=REHEARSAL_FRESH, verdict=Verdict.PASS, sentence=sentence))
    return told


def _unusable(runner: Runner) -> list[str]:
    """Say what stands against a gate beside its criteria: the baseline, the clock, the window, the ledger itself."""
    plan, now = runner.plan, clock.now()
    told = [f"the baseline {name}: {m.error or m.missing}" for name, m in runner.baseline.items() if m.error or m.missing]
    rehearsed = runner.state.rehearsed
    if rehearsed and not runner.state.changed:
        schema = schema_fingerprint(runner.session.connection)
        if evidence_seal(plan, schema) != rehearsed["seal"]:
            told.append("rehearsal: the target has changed since it was rehearsed")
    if why := why_not_ready(plan, runner.state, now):
        told.append(why)
    elif plan.end_by and now > plan.end_by:
        told.append(f"the window ended at {say_clock(plan.end_by, plan.zone)}")
    told += _missing_rights(runner)
    if not runner.state.override and (shut := closed(plan.windows, plan.freezes, plan.zone, now)):
        told.append(f"no phase may start now: {shut}")
    if plan.protected:
        _, problems = store.verify(runner.session.connection, runner.session.run)
        told += [f"the ledger: {problem}" for problem in problems]
        if runner.state.rehearsed:
            chain = store.chain_of_rehearsals(plan.runbook)
            told += [f"the rehearsals: {problem}" for problem in store.verify(runner.session.connection, chain)[1]]
    return told


def _missing_rights(runner: Runner) -> list[str]:
    """Say which rights the phase needs, forward and back, that the role does not have."""
    plan, phase = runner.plan, runner.plan.phases[runner.state.phase]
    if not plan.sql.ask_rights:
        return []
    steps = plan.steps[phase.first : phase.last + 1]
    needs = [need for step in steps for script in (*step.scripts, *(step.undo or ())) for need in script.needs]
    return [f"rights: {lack}" for lack in privileges.missing(runner.session.connection, needs)]


def _ask_people(runner: Runner, judged: Sequence[Judgement]) -> None:
    """Ask people about this plan on this schema; go where they have said so of just this, ask anew where it has changed."""
    plan, state, now = runner.plan, runner.state, clock.now()
    approve = plan.phases[state.phase].approve
    schema = schema_fingerprint(runner.session.connection)
    shown = evidence_seal(plan, schema)
    asked = state.asked if state.status is Status.DECIDING else None
    if asked is not None and asked.seal == shown:
        votes = [{"person": vote.person, "proved": vote.proved, "fact": vote.seq} for vote in state.votes]
        runner.append(Kind.GO, {"judged": dump(judged), "votes": votes, "seal": shown})
        return
    body: dict[str, Any] = {"judged": dump(judged), "seal": shown, "schema": schema}
    if asked is not None:
        before = store.read_fact(runner.session.connection, runner.session.run, asked.seq).body.get("schema", {})
        body["why"] = "the schema has changed since people were asked: " + "; ".join(differences(before, schema))
    if approve is not None:
        body["deadline"] = (asked.deadline if asked and asked.deadline else now + approve.within).isoformat()
    runner.append(Kind.ASKED, body)
